"""What is said to teach is what has a loss, and what was asked for and does not teach has a reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.depth import everything
from shared.distill.in_force import NAMES, in_force
from shared.distill.objective import declare
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import DistillationSettings
from shared.teachers.showing import averaged
from tests.support.shown import LABELS, padded, shown

STUDENT = shown(layers=2, width=4)
TEACHER = shown(layers=4, width=8, heads=4, seed=7)
TEXTS = padded(STUDENT, 1, seed=1)


def said(teacher: Features | None, student: Features = STUDENT, /, **settings: Any) -> str:
    chosen = DistillationSettings.model_validate(settings)
    return in_force(declare(chosen, student, teacher, generator(1, "a")), chosen, student, teacher)


def test_everything_that_teaches_is_said_with_its_weight_and_pairs() -> None:
    found = said(TEACHER, soft_weight=0.7, temperature=2.0, embedding_weight=0.3, hidden_weight=0.1, attention_weight=0.2)
    assert found == (
        "0.3 labels + 0.7 soft targets (kl, T 2) + 0.3 embeddings + 0.1 hidden states (uniform, 2 pairs) + 0.2 attention (rows, 2 pairs)"
    )


def test_what_holds_the_student_back_is_said_too() -> None:
    assert said(None, teacher="none", previous_weight=0.5, proximal=0.01).startswith("1 labels + 0.5 previous student + proximal (0.01)")


@pytest.mark.parametrize(
    ("teacher", "student", "settings", "expected"),
    [
        (Features(TEACHER.logits), STUDENT, {}, "hidden states (the teacher shows none), attention (the teacher shows none)"),
        (Features(TEACHER.logits, TEACHER.hidden_states), STUDENT, {}, "attention (the teacher shows none)"),
        (TEACHER, Features(STUDENT.logits, STUDENT.hidden_states), {}, "attention (the student shows none)"),
        (shown(layers=4, width=8, tokens=7), STUDENT, {}, "attention (no two layers can be compared)"),
        (shown(layers=4, width=8, tokens=7), STUDENT, {"attention_loss": "relations"}, "attention (no two layers can be compared)"),
        (averaged(padded(TEACHER, 1, seed=3)), TEXTS, {}, "attention (the teacher reads other tokens)"),
        (None, STUDENT, {}, "soft targets (there is no teacher), hidden states (there is no teacher), attention (there is no teacher)"),
        (
            TEACHER,
            STUDENT,
            {"teacher": "virtual"},
            "hidden states (teacher 'virtual' teaches nothing inside), attention (teacher 'virtual' teaches nothing inside)",
        ),
    ],
)
def test_what_does_not_teach_has_its_reason(teacher: Features | None, student: Features, settings: dict[str, Any], expected: str) -> None:
    found = said(teacher, student, hidden_weight=0.1, attention_weight=0.1, **settings)
    assert found.partition("; not in force: ")[2] == expected


def test_states_over_other_tokens_are_said_to_be_means() -> None:
    found = said(averaged(padded(TEACHER, 1, seed=3)), TEXTS, hidden_weight=0.1)
    assert "0.1 hidden states (uniform, 3 pairs) of means over other tokens" in found
    assert "of means" not in said(padded(TEACHER, 1, seed=3), TEXTS, hidden_weight=0.1)


@given(
    kind=st.sampled_from(["own", "virtual", "pseudo"]),
    inside=st.sampled_from(["nothing", "states", "everything", "other tokens"]),
    weights=st.fixed_dictionaries({f"{name}_weight": st.sampled_from([0.0, 0.5]) for name in NAMES}),
    attention=st.sampled_from(["rows", "relations"]),
)
def test_each_wish_is_either_in_force_or_has_a_reason_and_what_is_in_force_has_a_loss(
    kind: str, inside: str, weights: dict[str, float], attention: str
) -> None:
    teacher = {
        "nothing": Features(TEACHER.logits),
        "states": Features(TEACHER.logits, TEACHER.hidden_states),
        "everything": TEACHER,
        "other tokens": shown(layers=4, width=8, tokens=7, seed=7),
    }[inside]
    settings = DistillationSettings.model_validate({"teacher": kind, "attention_loss": attention, **weights})
    objective = declare(settings, STUDENT, teacher, generator(1, "a"), everything(teacher)).double()
    teaches, _, idle = in_force(objective, settings, STUDENT, teacher).partition("; not in force: ")
    terms = dict(objective.terms.items())
    for name, words in NAMES.items():
        wished, term = weights[f"{name}_weight"] > 0, terms.get(name)
        said_as = {("soft", "virtual"): "smoothed labels", ("soft", "pseudo"): "pseudo-labels"}.get((name, kind), words)
        assert (said_as in teaches) + (said_as in idle) == wished
        if term is not None and said_as in teaches and kind == "own":
            assert (term(STUDENT, teacher, LABELS) > 0).any()
        if said_as in idle and term is not None:
            assert torch.equal(term(STUDENT, teacher, LABELS), torch.zeros(len(LABELS), dtype=torch.float64))
