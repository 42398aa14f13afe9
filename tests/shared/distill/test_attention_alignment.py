"""Attention maps of padded batches, and of teachers that show only some of them. Formulas: ``test_terms.py``."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.attention_alignment import AttentionAlignment, distance
from shared.distill.depth import wanted
from shared.errors import ConfigError
from shared.models.features import Features
from shared.settings import DistillationSettings, HiddenMap
from tests.support.shown import LABELS, padded, reordered, shown, some

STUDENT, TEACHER = shown(layers=2, width=4), shown(layers=4, width=6, heads=3, seed=20)


@given(st.integers(1, 4), st.integers(0, 100))
def test_padding_never_changes_it(extra: int, seed: int) -> None:
    term = AttentionAlignment(STUDENT, TEACHER, 0.5)
    found = term(padded(STUDENT, extra, seed=seed), padded(TEACHER, extra, seed=seed + 1), LABELS)
    torch.testing.assert_close(found, term(STUDENT, TEACHER, LABELS))


def test_attention_to_padding_is_read_as_if_there_were_none() -> None:
    found, target = (torch.softmax(some(3, 2, 5, 5, seed=seed), dim=-1) for seed in range(2))
    mask = torch.tensor([True, True, True, False, False]).expand(3, -1)
    cut = [maps.mean(dim=1, keepdim=True)[:, :, :3, :3] for maps in (found, target)]
    own = [maps / maps.sum(dim=-1, keepdim=True) for maps in cut]
    torch.testing.assert_close(distance(found, target, mask), distance(own[0], own[1]))


def test_a_record_of_padding_alone_costs_nothing() -> None:
    mask = torch.tensor([[True] * 5, [False] * 5, [True] * 5])
    student = Features(STUDENT.logits, STUDENT.hidden_states, STUDENT.attentions, mask)
    found = AttentionAlignment(STUDENT, TEACHER, 0.5)(student, TEACHER, LABELS)
    assert found[1] == 0
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("kind", ["uniform", "last", "learned"])
def test_a_teacher_that_shows_only_what_is_wanted_teaches_the_same(kind: HiddenMap) -> None:
    places = wanted(2, 4, DistillationSettings(hidden_map=kind))
    part = Features(TEACHER.logits, (), tuple(TEACHER.attentions[place - 1] for place in places.attentions))
    whole = AttentionAlignment(STUDENT, TEACHER, 0.5, hidden_map=kind)
    term = AttentionAlignment(STUDENT, part, 0.5, wanted=places, hidden_map=kind)
    torch.testing.assert_close(term(STUDENT, part, LABELS), whole(STUDENT, TEACHER, LABELS))


def test_a_student_that_is_its_teacher_costs_nothing_in_any_order() -> None:
    term = AttentionAlignment(TEACHER, TEACHER, 0.5)
    assert term(TEACHER, TEACHER, LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-12)
    reordered(AttentionAlignment(STUDENT, TEACHER, 0.5), STUDENT, TEACHER, LABELS)


def test_a_batch_over_other_tokens_is_refused_in_a_sentence() -> None:
    student, teacher = shown(layers=2, width=4), shown(layers=4, width=8, heads=3, seed=20)
    term = AttentionAlignment(student, teacher, 0.5)
    other = Features(teacher.logits, teacher.hidden_states, tuple(maps[:, :, :-1, :-1] for maps in teacher.attentions))
    with pytest.raises(ConfigError, match="takes shorter texts or joins tokens"):
        term(student, other, LABELS)
