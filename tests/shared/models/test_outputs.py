"""Each head's outputs are found in the vector, in every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.models import load_vector, to_vector
from shared.models.outputs import output_ranges
from shared.settings import NetworkSettings
from shared.task import Task
from tests.support.heads import HEADS, LABELS, PICTURES, TABLES
from tests.support.networks import SMALL, TEXTS, inputs, network

WORDS: Task = TEXTS.model_copy(update={"labels": LABELS, "heads": HEADS})
PATCHES = NetworkSettings(width=8, depth=2, heads=2, architecture="transformer", patch=2)


@pytest.mark.parametrize(("task", "settings"), [(TABLES, SMALL), (PICTURES, SMALL), (PICTURES, PATCHES), (WORDS, SMALL)])
def test_a_head_s_coordinates_change_its_logits_and_no_others(task: Task, settings: NetworkSettings) -> None:
    student, batch = network(task, settings), torch.from_numpy(inputs(task, 5))
    ranges, vector, before = output_ranges(student), to_vector(student), student(batch).detach()
    changed = vector.copy()
    for start, stop in ranges[1]:
        changed[start:stop] += 1.0
    load_vector(student, changed)
    moved = (student(batch).detach() != before).any(dim=0)
    assert moved.tolist() == [False] * 3 + [True] * 2 + [False] * 3
    assert sum(stop - start for head in ranges for start, stop in head) == student.get_submodule("head").weight.numel() + 8  # type: ignore[union-attr, operator]


def test_without_heads_there_are_none() -> None:
    assert output_ranges(network()) == ()
    assert np.isfinite(to_vector(network())).all()
