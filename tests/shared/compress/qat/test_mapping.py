from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from shared.compress import graph
from shared.compress.export import export_float
from shared.compress.qat.calls import Call
from shared.compress.qat.mapping import Product, call_plan
from shared.compress.scope import scope
from shared.errors import ArtifactError
from shared.task import ImageTask
from tests.support.calibrated import FAMILIES, student_of
from tests.support.networks import inputs


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", [True, False])
def test_every_tensor_of_the_scope_is_found(family: str, attention: bool) -> None:
    task, _ = FAMILIES[family]
    model = student_of(family)
    content = export_float(model, task)
    chosen = scope(graph.parse(content), attention=attention)
    plan = call_plan(content, model, inputs(task, 4), attention=attention)
    assert len(plan.products) == len(chosen.weighted)
    assert {product.activation for product in plan.products.values()} == set(chosen.inputs)
    assert set(plan.written.values()) == set(chosen.outputs)
    assert len(plan.tables) == (1 if task.family == "text" else 0)


def test_a_gain_that_the_exporter_folds_is_no_hindrance(image_net: nn.Module, image_task: ImageTask, image_onnx: bytes) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    plan = call_plan(image_onnx, image_net, images)
    assert [call.number for call in plan.products if call.kind == "conv2d"] == [0, 1, 2]
    # The second convolution of the block is written after its gain.
    assert sorted(call.kind for call in plan.written) == ["mul", "relu", "relu", "relu"]
    assert len(plan.absorbed) == 3


class Tied(nn.Module):
    """Two layers that give the same."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(1, 2, 1)
        self.head = nn.Linear(2, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.relu(self.first(images.permute(0, 3, 1, 2).float() / 255))
        return self.head(functional.relu(maps).mean((2, 3)))


def test_the_first_call_with_the_values_is_the_one(image_task: ImageTask) -> None:
    model = Tied()
    content = export_float(model, image_task)
    plan = call_plan(content, model, np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8))
    assert Call("relu", 1) not in plan.written
    assert Product(next(iter(plan.products.values())).activation, False, True) in plan.products.values()


def test_another_students_graph_is_refused(image_task: ImageTask, image_net: nn.Module, image_onnx: bytes) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    with pytest.raises(ArtifactError, match="no call of the student's that can be watched"):
        call_plan(image_onnx, Tied(), images)
