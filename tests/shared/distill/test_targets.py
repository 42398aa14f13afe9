"""Targets are the teacher's features: of the rows and the view that were asked for, live or held."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.data.records import Records
from shared.distill.targets import HeldTargets, Order, live_targets, targets_of
from shared.distill.views import Views
from shared.errors import NotFiniteError
from shared.models.features import Features, features
from shared.models.network import BATCH
from shared.task import Task
from shared.teachers.own import OwnTeacher
from tests.support.networks import IMAGES, LARGE, TABLE, inputs, network, records

ORDER = Order(hidden=(0, 2), attentions=(2,))


@pytest.mark.parametrize("task", [TABLE, IMAGES])
@pytest.mark.parametrize("inside", [True, False])
def test_held_targets_are_the_models_features(task: Task, inside: bool) -> None:
    teacher, values, rows = network(task, LARGE), inputs(task, BATCH + 5), torch.tensor([BATCH + 2, 0, 3])
    targets = targets_of(teacher, values, inside=inside)
    found = targets.take(rows)
    with torch.no_grad():
        expected = features(teacher, torch.from_numpy(values)[rows])
    torch.testing.assert_close(found.logits, expected.logits)
    assert len(found.attentions) == (len(expected.attentions) if inside else 0)
    for one, other in zip(found.hidden_states, expected.hidden_states if inside else (), strict=True):
        torch.testing.assert_close(one, other)
    assert not found.logits.requires_grad
    assert isinstance(targets, HeldTargets)
    with pytest.raises(ValueError, match="as they are"):
        targets.take(rows, 1)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
@pytest.mark.parametrize("view", [0, 1, 2])
def test_live_targets_are_those_of_the_view(task: Task, view: int) -> None:
    teacher, examples, views = network(task, LARGE), records(task, 50), Views(task, 3, seed=5)
    rows = torch.tensor([41, 0, 3, *range(40)])
    found = live_targets(OwnTeacher(teacher), examples, views, ORDER).take(rows, view)
    with torch.no_grad():
        expected = features(teacher, torch.from_numpy(views.inputs(examples.inputs, rows.numpy(), view)))
    torch.testing.assert_close(found.logits, expected.logits, rtol=2e-3, atol=2e-3)
    assert found.logits.dtype == torch.float32
    for place, state in zip(ORDER.hidden, found.hidden_states, strict=True):
        torch.testing.assert_close(state, expected.hidden_states[place], rtol=2e-3, atol=2e-3)
    wanted = expected.attentions[1]
    over_heads = wanted.mean(dim=1, keepdim=True) if wanted.dim() == 4 else wanted
    torch.testing.assert_close(found.attentions[0], over_heads, rtol=2e-3, atol=2e-3)


class Broken:
    """A teacher whose answers are no numbers."""

    digest, layers, parameters = "0" * 64, 0, 0

    def longest(self, records: Records) -> int:
        return 0

    def show(self, records: Records, *, hidden: object = (), attentions: object = ()) -> Features:
        return Features(torch.full((len(records), 2), np.nan))


def test_a_teacher_that_answers_nan_is_refused() -> None:
    with pytest.raises(NotFiniteError, match="teacher answered"):
        live_targets(Broken(), records(TABLE, 5), Views(TABLE), Order())
