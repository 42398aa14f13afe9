"""The objective is the weighted sum of what was declared, and nothing that was not asked for."""

from __future__ import annotations

import pytest
import torch

from shared.distill.hard_labels import HardLabels
from shared.distill.objective import Objective, declare, needs_inside
from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import DistillationSettings
from tests.support.networks import IMAGES, LARGE, TABLE, inputs, network

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
