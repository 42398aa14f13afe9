"""Relations against a slow rewriting, between teachers and students of any heads and widths, whatever the padding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.distill.depth import Wanted
from shared.distill.relation_alignment import RELATION_HEADS, RelationAlignment, relation_heads, relations
from shared.errors import ConfigError
from shared.models.features import Features
from tests.support.shown import LABELS, gradients, padded, reordered, shown, some

STUDENT, TEACHER = shown(layers=2, width=4), shown(layers=4, width=8, heads=3, seed=20)


def plain(states: NDArray[np.float64], heads: int) -> NDArray[np.float64]:
    """The relation of one record's states ``(tokens, width)``."""
    centred = (states - states.mean(axis=1, keepdims=True)) / np.sqrt(states.var(axis=1, keepdims=True) + 1e-5)
    found = []
    for part in np.split(centred, heads, axis=1):
        scores = np.exp(part @ part.T / math.sqrt(part.shape[1]))
        found.append(scores / scores.sum(axis=1, keepdims=True))
    return np.stack(found)


def test_relations_by_hand() -> None:
    states = some(3, 5, 8)
    expected = np.stack([plain(states[record].numpy(), 4) for record in range(3)])
    np.testing.assert_allclose(relations(states, 4).exp().numpy(), expected, rtol=1e-9)


def test_the_term_by_hand() -> None:
    expected = np.zeros(3)
    for layer, other in ((1, 2), (2, 4)):
        for record in range(3):
            q = plain(STUDENT.hidden_states[layer][record].numpy(), 4)
            p = plain(TEACHER.hidden_states[other][record].numpy(), 4)
            expected[record] += (1 - 0.25 ** (layer / 2)) / 2 * (p * np.log(p / q)).sum(axis=-1).mean()
    assert RelationAlignment(STUDENT, TEACHER, 0.25)(STUDENT, TEACHER, LABELS).tolist() == pytest.approx(list(expected))


@given(st.integers(1, 64), st.integers(1, 64))
def test_relation_heads_divide_both_widths(one: int, other: int) -> None:
    heads = relation_heads(one, other)
    assert one % heads == other % heads == 0
    assert 1 <= heads <= RELATION_HEADS
    assert relation_heads(4 * one, 4 * other) == RELATION_HEADS


def test_a_student_that_is_its_teacher_costs_nothing() -> None:
    assert RelationAlignment(TEACHER, TEACHER, 0.5)(TEACHER, TEACHER, LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-12)


@given(st.integers(1, 4), st.integers(0, 100))
def test_padding_never_changes_it(extra: int, seed: int) -> None:
    term = RelationAlignment(STUDENT, TEACHER, 0.5)
    found = term(padded(STUDENT, extra, seed=seed), padded(TEACHER, extra, seed=seed + 1), LABELS)
    torch.testing.assert_close(found, term(STUDENT, TEACHER, LABELS))


def test_a_record_of_padding_alone_costs_nothing() -> None:
    student = Features(STUDENT.logits, STUDENT.hidden_states, STUDENT.attentions, torch.tensor([[True] * 5, [False] * 5, [True] * 5]))
    found = RelationAlignment(STUDENT, TEACHER, 0.5)(student, TEACHER, LABELS)
    assert found[1] == 0
    assert torch.isfinite(found).all()


def test_a_teacher_that_shows_only_what_is_wanted_teaches_the_same() -> None:
    part = Features(TEACHER.logits, (TEACHER.hidden_states[2], TEACHER.hidden_states[4]))
    term = RelationAlignment(STUDENT, part, 0.5, wanted=Wanted((2, 4)))
    torch.testing.assert_close(term(STUDENT, part, LABELS), RelationAlignment(STUDENT, TEACHER, 0.5)(STUDENT, TEACHER, LABELS))


def test_layers_of_other_lengths_are_left_out() -> None:
    teacher = shown(layers=4, width=8, tokens=7)
    assert (RelationAlignment(STUDENT, teacher, 0.5)(STUDENT, teacher, LABELS) == 0).all()


def test_gradients_and_order() -> None:
    term = RelationAlignment(STUDENT, TEACHER, 0.5)
    gradients(term, padded(STUDENT, 2, seed=1), padded(TEACHER, 2, seed=2), LABELS)
    reordered(term, STUDENT, TEACHER, LABELS)


def test_a_batch_over_other_tokens_is_refused_in_a_sentence() -> None:
    term = RelationAlignment(STUDENT, TEACHER, 0.5)
    other = Features(TEACHER.logits, tuple(state[:, :-1] for state in TEACHER.hidden_states), TEACHER.attentions)
    with pytest.raises(ConfigError, match="takes shorter texts or joins tokens"):
        term(STUDENT, other, LABELS)
