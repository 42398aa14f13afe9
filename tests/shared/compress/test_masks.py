"""A mask's huge constant must never be part of a range: it would leave a handful of steps of the grid for all real values."""

from __future__ import annotations

import numpy as np
import pytest

from shared.compress import graph
from shared.compress.calibrate import calibrated_tensors
from shared.compress.export import export_float
from shared.compress.scope import scope
from shared.models.attention import HIDDEN
from tests.support.calibrated import FAMILIES, ranges_of, student_of
from tests.support.networks import inputs

LARGE = 1e3
"""No activation of a student comes near it, every constant that masks is beyond it."""


def reached_from_masks(content: bytes) -> set[str]:
    """Tensors that may hold a mask's constant: from the constant on, up to the softmax that makes zeros of it."""
    model = graph.parse(content)
    found = {
        name for name, value in graph.initialisers(model).items() if value.dtype == np.float32 and np.abs(value).max(initial=0) >= LARGE
    }
    for node in model.graph.node:
        if node.op_type != "Softmax" and found & set(node.input):
            found |= set(node.output)
    return found


@pytest.mark.parametrize("family", ["encoder", "decoder"])
def test_no_tensor_on_a_grid_holds_a_masks_constant(family: str) -> None:
    task, _ = FAMILIES[family]
    content = export_float(student_of(family), task)
    masked = reached_from_masks(content)
    values = graph.initialisers(graph.parse(content))
    assert any(float(values[name].min()) == HIDDEN for name in masked & set(values))
    assert not masked & set(calibrated_tensors(content))
    assert not masked & set(scope(graph.parse(content)).sums)


@pytest.mark.parametrize("family", FAMILIES)
def test_ranges_are_those_of_activations(family: str) -> None:
    task, _ = FAMILIES[family]
    found = ranges_of(export_float(student_of(family), task), task, inputs(task, 40))
    assert max(max(-low, high) for low, high in found.values()) < 100
