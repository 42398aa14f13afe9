"""Small graphs as files: ONNX ones built by hand, and modules exported by torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from shared.data.records import Records
from shared.task import Task
from tests.support.networks import TABLE, records
from tests.support.teachers import IMAGE, TEXT, images, texts

WEIGHT = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)


def make_graph(
    path: Path, shape: list[Any], labels: int = 2, *, kind: int = TensorProto.FLOAT, softmax: bool = False, extra: tuple[str, ...] = ()
) -> None:
    """``mean over all but the first two axes -> matrix -> (softmax)``."""
    features = shape[1]
    axes = helper.make_tensor("axes", TensorProto.INT64, [len(shape) - 2], list(range(2, len(shape))))
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [features, labels], WEIGHT[:features, :labels].reshape(-1))
    used = ["x", *extra]
    nodes = [helper.make_node("Cast", [name], [f"f_{name}"], to=TensorProto.FLOAT) for name in used]
    nodes.append(helper.make_node("Sum", [f"f_{name}" for name in used], ["sum"]))
    nodes.append(
        helper.make_node("ReduceMean", ["sum", "axes"], ["mean"], keepdims=0)
        if len(shape) > 2
        else helper.make_node("Identity", ["sum"], ["mean"])
    )
    nodes.append(helper.make_node("MatMul", ["mean", "weight"], ["scores"]))
    nodes.append(helper.make_node("Softmax" if softmax else "Identity", ["scores"], ["y"]))
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in used]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], labels])
    initial = [weight, *([axes] if len(shape) > 2 else [])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, [output], initial), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, path)


class Rows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(torch.nan_to_num(values))


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(40, 4), nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layer(self.words(tokens).mean(dim=1))


EXAMPLES: dict[str, tuple[type[nn.Module], Tensor, Task, Records]] = {
    "table": (Rows, torch.zeros(2, 4), TABLE, records(TABLE, 7)),
    "image": (Pictures, torch.zeros(2, 3, 16, 16), IMAGE, images(7)),
    "text": (Tokens, torch.ones(2, 12, dtype=torch.int64), TEXT, texts(7)),
}


def make_exported(path: Path, kind: str, *, free: bool = True, batch: int = 2) -> nn.Module:
    torch.manual_seed(0)
    module, example = EXAMPLES[kind][0]().eval(), EXAMPLES[kind][1][:1].expand(batch, *EXAMPLES[kind][1].shape[1:]).clone()
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},) if free else None)
    torch.export.save(program, path)
    return module
