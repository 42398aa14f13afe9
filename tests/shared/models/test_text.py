"""The family for texts: what padding, causality and pooling promise, and that features are as the seam says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shared.models import Network
from shared.models.layers import use_dropout
from shared.models.network import predict_logits, trimmed
from shared.models.text import pooled, real_tokens
from shared.settings import NetworkSettings
from tests.support.networks import TEXTS, inputs, network

ENCODER = NetworkSettings(width=16, depth=3, heads=4, embedding_width=8)
DECODER = NetworkSettings(width=16, depth=2, heads=2, architecture="decoder")
KINDS = [ENCODER, DECODER, ENCODER.model_copy(update={"pooling": "first"}), ENCODER.model_copy(update={"expansion": 1})]

tokens = st.lists(st.integers(1, TEXTS.vocabulary - 1), min_size=1, max_size=TEXTS.max_tokens)


def model_of(settings: NetworkSettings) -> Network:
    return network(TEXTS, settings)


def batch(count: int = 5) -> Tensor:
    return torch.from_numpy(inputs(TEXTS, count))


@pytest.mark.parametrize("settings", KINDS)
def test_features_have_the_shapes_that_the_seam_promises(settings: NetworkSettings) -> None:
    found = model_of(settings).features(batch())
    assert found.logits.shape == (5, 3)
    assert [tuple(state.shape) for state in found.hidden_states] == [(5, 12, 16)] * (settings.depth + 1)
    assert [tuple(one.shape) for one in found.attentions] == [(5, settings.heads, 12, 12)] * settings.depth
    assert found.mask is not None
    assert torch.equal(found.mask[:, 1:], batch()[:, 1:] != TEXTS.padding)
    longest = int(found.mask.sum(dim=1).max())
    for attention in found.attentions:
        torch.testing.assert_close(attention.sum(dim=-1)[..., :longest], torch.ones(5, settings.heads, longest))


@pytest.mark.parametrize("settings", KINDS)
def test_what_is_padding_in_all_of_a_batch_is_zero_and_changes_nothing_else(settings: NetworkSettings) -> None:
    model = model_of(settings)
    short = batch()[:, :7]
    short[:, 6] = 5
    wide = torch.cat([short, torch.zeros((5, 5), dtype=torch.int32)], dim=1)
    found, wanted = model.features(wide), model.features(short)
    torch.testing.assert_close(found.logits, wanted.logits)
    torch.testing.assert_close(found.logits, model(wide))
    for state, other in zip(found.hidden_states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(state[:, :7], other)
        assert not state[:, 7:].any()
    for one, other in zip(found.attentions, wanted.attentions, strict=True):
        torch.testing.assert_close(one[..., :7, :7], other)
        assert not one[..., 7:, :].any()
        assert not one[..., 7:].any()
    assert found.mask is not None
    assert not found.mask[:, 7:].any()


@pytest.mark.parametrize("settings", KINDS)
@given(words=tokens, data=st.data())
def test_padding_changes_no_logit(settings: NetworkSettings, words: list[int], data: st.DataObject) -> None:
    model, more = model_of(settings), data.draw(st.integers(0, TEXTS.max_tokens - len(words)))
    bare = torch.tensor([words], dtype=torch.int32)
    padded = torch.cat([bare, torch.full((1, more), TEXTS.padding, dtype=torch.int32)], dim=1)
    torch.testing.assert_close(model(padded), model(bare))


@given(rows=st.lists(tokens, min_size=1, max_size=4))
def test_records_do_not_see_each_other(rows: list[list[int]]) -> None:
    model = model_of(ENCODER)
    together = np.zeros((len(rows), TEXTS.max_tokens), np.int32)
    for place, row in enumerate(rows):
        together[place, : len(row)] = row
    alone = np.concatenate([predict_logits(model, together[place : place + 1]) for place in range(len(rows))])
    np.testing.assert_allclose(predict_logits(model, together), alone, atol=1e-5)


def test_an_empty_text_has_finite_logits_whatever_its_length() -> None:
    for settings in KINDS:
        model = model_of(settings)
        one, many = (model(torch.zeros((1, count), dtype=torch.int32)) for count in (1, 12))
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, many)


def test_a_decoder_does_not_look_ahead_and_an_encoder_does() -> None:
    first = torch.arange(1, 9, dtype=torch.int32)[None]
    other = first.clone()
    other[0, -1] = 15
    for settings, causal in ((DECODER, True), (ENCODER, False)):
        one, two = (model_of(settings).features(ids).hidden_states[-1][0, :-1] for ids in (first, other))
        assert torch.allclose(one, two, atol=1e-6) == causal


def test_pooling_takes_the_tokens_it_names() -> None:
    hidden = torch.arange(12, dtype=torch.float32).reshape(2, 3, 2)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert torch.equal(pooled(hidden, mask, "first"), hidden[:, 0])
    assert torch.equal(pooled(hidden, mask, "last"), torch.stack([hidden[0, 1], hidden[1, 2]]))
    assert torch.equal(pooled(hidden, mask, "mean"), torch.stack([hidden[0, :2].mean(0), hidden[1].mean(0)]))


def test_an_embedding_width_saves_most_of_the_vocabulary() -> None:
    whole, factorised = (
        model_of(ENCODER.model_copy(update={"embedding_width": width})).get_parameter("embedding.words") for width in (None, 4)
    )
    assert whole.shape == (20, 16)
    assert factorised.shape == (20, 4)


def test_dropout_draws_from_its_own_generator_alone() -> None:
    model = model_of(ENCODER.model_copy(update={"dropout": 0.5})).train()
    state = torch.random.get_rng_state()
    found = []
    for _ in range(2):
        use_dropout(model, torch.Generator().manual_seed(3))
        found.append(model(batch()))
    assert torch.equal(*found)
    assert torch.equal(torch.random.get_rng_state(), state)


@given(rows=st.lists(tokens, min_size=1, max_size=4), most=st.integers(0, 3))
def test_trimming_removes_padding_and_nothing_else(rows: list[list[int]], most: int) -> None:
    longest = max(map(len, rows))
    whole = torch.zeros((len(rows), longest + most), dtype=torch.int32)
    for place, row in enumerate(rows):
        whole[place, : len(row)] = torch.tensor(row)
    assert torch.equal(trimmed(whole, 0), whole[:, :longest])


def test_trimming_leaves_one_column() -> None:
    assert trimmed(torch.zeros((2, 5), dtype=torch.int32), 0).shape == (2, 1)
    assert real_tokens(torch.zeros((2, 3), dtype=torch.int32), 0).tolist() == [[True, False, False]] * 2
