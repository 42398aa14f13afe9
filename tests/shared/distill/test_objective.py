"""The objective is the weighted sum of what was declared, and nothing that was not asked for."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.depth import Wanted, wanted
from shared.distill.difficulty import record_weights
from shared.distill.hard_labels import HardLabels
from shared.distill.hidden_alignment import HiddenAlignment
from shared.distill.objective import Objective, declare, needs_inside
from shared.distill.pseudo_labels import PseudoLabels
from shared.distill.soft_targets import SoftTargets
from shared.distill.virtual import VirtualTeacher
from shared.errors import CheckpointError
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import DistillationSettings
from shared.teachers.showing import averaged
from tests.support.networks import IMAGES, LARGE, TABLE, inputs, network
from tests.support.shown import padded, shown

LABELS = torch.tensor([0, 1, 1])


def pair(task: str = "table") -> tuple[Features, Features]:
    chosen = TABLE if task == "table" else IMAGES
    batch = torch.from_numpy(inputs(chosen, 3))
    with torch.no_grad():
        return network(chosen).features(batch), network(chosen, LARGE).features(batch)


def test_the_sum_by_hand() -> None:
    student, teacher = pair()
    hard, soft = HardLabels(), SoftTargets(2.0)
    found = Objective([("hard", 0.3, hard), ("soft", 0.7, soft)])(student, teacher, LABELS)
    torch.testing.assert_close(found, 0.3 * hard(student, None, LABELS).mean() + 0.7 * soft(student, teacher, LABELS).mean())


@pytest.mark.parametrize("task", ["table", "images"])
def test_all_terms_are_declared_for_both_families(task: str) -> None:
    student, teacher = pair(task)
    objective = declare(DistillationSettings(), student, teacher, generator(1, "a"))
    assert list(objective.terms) == ["hard", "soft", "hidden", "attention"]
    assert torch.isfinite(objective(student, teacher, LABELS))


def test_a_weight_of_zero_turns_its_term_off() -> None:
    student, teacher = pair()
    settings = DistillationSettings(soft_weight=1.0, hidden_weight=0.0, attention_weight=0.0)
    assert list(declare(settings, student, teacher, generator(1, "a")).terms) == ["soft"]
    assert not needs_inside(settings)
    assert needs_inside(DistillationSettings())


def test_without_a_teacher_there_are_hard_labels_alone() -> None:
    student, _ = pair()
    objective = declare(DistillationSettings(), student, None, generator(1, "a"))
    torch.testing.assert_close(objective(student, None, LABELS), HardLabels()(student, None, LABELS).mean())
    assert not objective.state_dict()


def test_a_teacher_that_shows_only_logits_still_teaches() -> None:
    student, teacher = pair()
    objective = declare(DistillationSettings(), student, Features(teacher.logits), generator(1, "a"))
    assert list(objective.terms) == ["hard", "soft"]


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("kind", ["rows", "relations"])
def test_a_teacher_of_other_tokens_teaches_means_and_no_attention(tokens: int, kind: Literal["rows", "relations"]) -> None:
    student = padded(shown(layers=2, width=4, tokens=tokens), 1, seed=1)
    teacher = averaged(padded(shown(layers=2, width=8, tokens=tokens, seed=9), 1, seed=2))
    objective = declare(DistillationSettings(attention_loss=kind), student, teacher, generator(1, "a"))
    assert list(objective.terms) == ["hard", "soft", "hidden"]
    assert torch.isfinite(objective.double()(student, teacher, LABELS))


# Every combination

LOSSES: dict[str, list[Any]] = {
    "output_loss": ["kl", "dkd", "dist"],
    "hidden_map": ["uniform", "last", "learned"],
    "attention_loss": ["rows", "relations"],
    "embedding_weight": [0.0, 0.3],
}
COMBINATIONS = [dict(zip(LOSSES, values, strict=True)) for values in itertools.product(*LOSSES.values())]
STUDENT, TEACHER = shown(layers=2, width=4), shown(layers=4, width=8, heads=4, seed=20)


def made(student: Features = STUDENT, teacher: Features = TEACHER, **settings: Any) -> Objective:
    return declare(DistillationSettings(**settings), student, teacher, generator(1, "a")).double()


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_padding_never_changes_an_objective(settings: dict[str, Any]) -> None:
    objective, labels = made(**settings, difficulty_weight=1.0), torch.tensor([0, -1, 2])
    found = objective(padded(STUDENT, 3, seed=1), padded(TEACHER, 3, seed=2), labels)
    torch.testing.assert_close(found, objective(STUDENT, TEACHER, labels))


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_a_teacher_need_only_show_what_is_wanted(settings: dict[str, Any]) -> None:
    places = wanted(2, 4, DistillationSettings(**settings))
    part = Features(
        TEACHER.logits,
        tuple(TEACHER.hidden_states[place] for place in places.hidden),
        tuple(TEACHER.attentions[place - 1] for place in places.attentions),
    )
    objective = declare(DistillationSettings(**settings), STUDENT, part, generator(1, "a"), places).double()
    torch.testing.assert_close(objective(STUDENT, part, LABELS), made(**settings)(STUDENT, TEACHER, LABELS))


@pytest.mark.parametrize("settings", COMBINATIONS)
@pytest.mark.parametrize("task", ["table", "images"])
def test_both_families_learn_from_each(task: str, settings: dict[str, Any]) -> None:
    student, teacher = pair(task)
    objective = declare(DistillationSettings(**settings), student, teacher, generator(1, "a"))
    assert torch.isfinite(objective(student, teacher, LABELS))
    assert ("embedding" in objective.terms) == (settings["embedding_weight"] > 0)


def test_targets_of_other_places_are_refused() -> None:
    part = Features(TEACHER.logits, TEACHER.hidden_states[:2], TEACHER.attentions)
    with pytest.raises(CheckpointError, match="2 hidden states and 4 attention maps"):
        declare(DistillationSettings(), STUDENT, part, generator(1, "a"), wanted(2, 4, DistillationSettings()))
    shows_logits = declare(DistillationSettings(), STUDENT, Features(TEACHER.logits), generator(1, "a"), Wanted((0, 2, 4), (2, 4)))
    assert list(shows_logits.terms) == ["hard", "soft"]


def test_embeddings_are_not_counted_twice() -> None:
    hidden = made(embedding_weight=1.0).terms["hidden"]
    assert isinstance(hidden, HiddenAlignment)
    assert hidden.layers == (1, 2)


# Weights


def test_terms_of_any_scale_start_equal() -> None:
    objective = made(soft_weight=0.5, embedding_weight=0.2, hidden_weight=0.3, attention_weight=0.4, adaptive_scale=True)
    output = 0.5 * HardLabels()(STUDENT, None, LABELS).mean() + 0.5 * SoftTargets(2.0)(STUDENT, TEACHER, LABELS).mean()
    # The buffers are float64 here, so that the first quotient is 1 exactly.
    assert objective(STUDENT, TEACHER, LABELS).item() == pytest.approx(output.item() + 0.2 + 0.3 + 0.4)
    assert {name for name in objective.state_dict() if name.startswith("scales")} == {
        "scales.embedding.mean",
        "scales.hidden.mean",
        "scales.attention.mean",
    }


@pytest.mark.parametrize("source", ["teacher", "student"])
def test_hard_records_count_more_at_every_level_but_the_labels(source: Any) -> None:
    objective = made(difficulty_weight=2.0, difficulty=source, embedding_weight=0.5)
    weights = record_weights(STUDENT, TEACHER, LABELS, source, 2.0)
    expected = 0.3 * HardLabels()(STUDENT, None, LABELS).mean()
    for name, term in objective.terms.items():
        if name != "hard":
            expected = expected + objective.weights[name] * (weights * term(STUDENT, TEACHER, LABELS)).mean()
    torch.testing.assert_close(objective(STUDENT, TEACHER, LABELS), expected)


@given(st.permutations(range(3)), st.sampled_from(COMBINATIONS))
def test_the_order_of_a_batch_does_not_matter(order: list[int], settings: dict[str, Any]) -> None:
    objective, rows = made(**settings, difficulty_weight=1.0), torch.tensor(order)
    found = objective(STUDENT.take(rows), TEACHER.take(rows), LABELS[rows])
    torch.testing.assert_close(found, objective(STUDENT, TEACHER, LABELS))


# Teachers without a model


def test_a_virtual_teacher_needs_none() -> None:
    objective = declare(DistillationSettings(teacher="virtual", soft_weight=0.4), STUDENT, None, generator(1, "a"))
    expected = 0.6 * HardLabels()(STUDENT, None, LABELS).mean() + 0.4 * VirtualTeacher(2.0, 0.95)(STUDENT, None, LABELS).mean()
    torch.testing.assert_close(objective(STUDENT, None, LABELS), expected)


def test_pseudo_labels_stand_beside_the_labels_that_there_are() -> None:
    labels = torch.tensor([0, -1, -1])
    settings = DistillationSettings(teacher="pseudo", soft_weight=0.4, confidence=0.3)
    objective = declare(settings, STUDENT, TEACHER, generator(1, "a"))
    expected = 0.6 * HardLabels()(STUDENT, None, labels).mean() + 0.4 * PseudoLabels(0.3)(STUDENT, TEACHER, labels).mean()
    torch.testing.assert_close(objective(STUDENT, TEACHER, labels), expected)


def test_unlabelled_records_learn_from_soft_targets_alone() -> None:
    labels = torch.full((3,), -1)
    objective = made(hidden_weight=0.0, attention_weight=0.0)
    torch.testing.assert_close(objective(STUDENT, TEACHER, labels), 0.7 * SoftTargets(2.0)(STUDENT, TEACHER, labels).mean())
