"""fedstill's own networks as teachers: their features, and a digest of their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shared.distill.teacher import save_teacher
from shared.errors import CheckpointError
from shared.models.features import features
from shared.task import Task
from shared.teachers import open_teacher
from shared.teachers.own import OwnTeacher
from tests.support.networks import IMAGES, LARGE, TABLE, network, records


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_it_shows_what_the_network_shows(tmp_path: Path, task: Task) -> None:
    model, examples = network(task, LARGE), records(task, 9)
    save_teacher(tmp_path, model)
    teacher = open_teacher(tmp_path, task)
    with torch.no_grad():
        expected = features(model, torch.from_numpy(examples.inputs))
    assert teacher.layers == len(expected.hidden_states) - 1
    found = teacher.show(examples, hidden=(0, teacher.layers), attentions=(1,))
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.hidden_states[1], expected.hidden_states[-1])
    assert torch.equal(found.attentions[0], expected.attentions[0])
    assert teacher.longest(examples) == 0
    assert teacher.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_digest_is_of_the_weights_and_the_preparation() -> None:
    one = OwnTeacher(network(TABLE, LARGE, seed=1)).digest
    assert OwnTeacher(network(TABLE, LARGE, seed=1)).digest == one
    assert OwnTeacher(network(TABLE, LARGE, seed=2)).digest != one


def test_another_tasks_teacher_is_refused(tmp_path: Path) -> None:
    save_teacher(tmp_path, network(TABLE, LARGE))
    with pytest.raises(CheckpointError, match="another task"):
        open_teacher(tmp_path, IMAGES)
