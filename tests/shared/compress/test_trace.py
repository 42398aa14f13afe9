from __future__ import annotations

import logging
import warnings

import torch
from torch import nn

from shared.compress.trace import known, quiet, structure_digest, tensors, traced


class Scaled(nn.Module):
    def __init__(self, scale: float, width: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(2, width)
        self.tied = self.linear

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs) * self.scale


EXAMPLE = torch.ones(3, 2)


def test_digest_sees_structure_and_not_weights():
    base = structure_digest(Scaled(1.0), EXAMPLE)
    assert structure_digest(Scaled(1.0), EXAMPLE) == base
    assert structure_digest(Scaled(2.0), EXAMPLE) != base
    assert structure_digest(Scaled(1.0, width=3), EXAMPLE) != base
    assert structure_digest(Scaled(1.0), torch.ones(3, 4)) != base
    assert structure_digest(Scaled(1.0), torch.ones(3, 2, dtype=torch.float64)) != base


def test_digest_does_not_depend_on_the_mode():
    model = Scaled(1.0)
    assert structure_digest(model.eval(), EXAMPLE) == structure_digest(model.train(), EXAMPLE)


def test_tied_tensors_are_found_under_each_name():
    assert {"linear.weight", "tied.weight"} <= set(tensors(Scaled(1.0)))


def test_a_structure_is_traced_once():
    first = Scaled(7.0)
    assert not known(first, EXAMPLE)
    graph = traced(first, EXAMPLE)
    assert known(Scaled(7.0), EXAMPLE)
    assert traced(Scaled(7.0), EXAMPLE).graph.node == graph.graph.node
    assert {tensor.name for tensor in graph.graph.initializer} >= {"parameter.tied.weight", "parameter.tied.bias"}


def test_quiet_gives_back_what_it_silenced():
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level, filters = logger.level, list(warnings.filters)
    with quiet():
        warnings.warn("not heard", stacklevel=1)
        assert logger.level == logging.ERROR
    assert logger.level == level
    assert list(warnings.filters) == filters
