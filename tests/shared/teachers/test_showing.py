"""Labels are matched by name or not at all, and probabilities become logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import CheckpointError
from shared.models.features import Features
from shared.task import ImageTask
from shared.teachers.showing import averaged, chosen, damaged, digest_of, label_order, log_probabilities
from tests.support.shown import padded, shown

NAMES = ("cat", "dog", "owl", "fox")
TASK = ImageTask(family="image", labels=NAMES, size=8)


@given(st.permutations(NAMES))
def test_names_in_any_order_and_case_find_their_labels(names: list[str]) -> None:
    order = label_order([f" {name.upper()}" for name in names], TASK, where=Path("here"))
    assert tuple(names[place] for place in order) == NAMES


def test_names_without_meaning_are_taken_in_order_and_half_known_ones_refused() -> None:
    assert label_order([f"LABEL_{place}" for place in range(4)], TASK, where=Path("here")) == (0, 1, 2, 3)
    with pytest.raises(CheckpointError, match="some of the task's labels"):
        label_order(["cat", "LABEL_1", "LABEL_2", "LABEL_3"], TASK, where=Path("here"))
    with pytest.raises(CheckpointError, match="here knows 2 labels, but the task has 4"):
        label_order(["cat", "dog"], TASK, where=Path("here"))


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=6).filter(lambda values: sum(values) > 0.1))
def test_a_softmax_gives_the_probabilities_back(values: list[float]) -> None:
    probabilities = torch.tensor([values]) / sum(values)
    torch.testing.assert_close(log_probabilities(probabilities).softmax(dim=1), probabilities, rtol=1e-3, atol=1e-5)


def test_a_model_without_a_map_for_each_block_gives_activation_attention() -> None:
    states = tuple(torch.rand(2, 5, 3) for _ in range(3))
    found = chosen(Features(torch.zeros(2, 2), states, (torch.rand(8, 1, 4, 4), torch.rand(2, 1, 5, 5))), (), (1, 2))
    assert [one.shape for one in found.attentions] == [(2, 5), (2, 5)]
    torch.testing.assert_close(found.attentions[0].square().sum(dim=1), torch.ones(2))


def test_a_digest_is_of_names_contents_and_choices(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    assert len({digest_of([one]), digest_of([two]), digest_of([one, two]), digest_of([one], 1)}) == 4
    assert digest_of([two, one]) == digest_of([one, two])
    with pytest.raises(CheckpointError, match="cannot read"):
        digest_of([tmp_path / "none"])


def test_a_librarys_words_stay_out_of_the_error() -> None:
    assert "secret" not in str(damaged(Path("here"), ValueError("a secret of the file")))


def test_averaged_states_do_not_depend_on_padding_and_hold_no_tokens() -> None:
    found = shown(layers=2, width=4)
    longer = averaged(padded(found, 3, seed=5))
    assert (longer.mask, longer.attentions) == (None, ())
    for mean, state in zip(longer.hidden_states, found.hidden_states, strict=True):
        torch.testing.assert_close(mean, state.mean(dim=1, keepdim=True))
    assert torch.equal(longer.logits, found.logits)
