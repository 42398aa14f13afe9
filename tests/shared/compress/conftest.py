"""Small networks of the two families, exported once for all tests of this room, and small graphs made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from shared.compress.artifact import write_artifact
from shared.compress.manifest import CandidateResult, GateResult, Manifest, Provenance
from shared.task import CategoricalColumn, ImageTask, NumericColumn, TabularTask

CATEGORIES = ("low", "middle", "high")


class TableNet(nn.Module):
    """Two numbers and a category, each maybe missing, as tokens; one attention block; two labels."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, -2.0]))
        self.register_buffer("deviation", torch.tensor([2.0, 0.5]))
        self.scale = nn.Parameter(torch.randn(2, width))
        self.missing = nn.Parameter(torch.randn(2, width))
        self.place = nn.Parameter(torch.randn(3, width))
        self.category = nn.Embedding(len(CATEGORIES) + 1, width)
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        numbers, category = inputs[:, :2], inputs[:, 2]
        absent = torch.isnan(numbers)
        scaled = torch.where(absent, torch.zeros_like(numbers), (numbers - self.mean) / self.deviation)
        index = torch.where(torch.isnan(category), torch.full_like(category, len(CATEGORIES)), category).long()
        tokens = scaled.unsqueeze(-1) * self.scale + absent.float().unsqueeze(-1) * self.missing
        tokens = torch.cat([tokens, self.category(index).unsqueeze(1)], 1) + self.place
        query, key, value = self.query_key_value(self.norm(tokens)).chunk(3, dim=-1)
        weights = torch.softmax(query @ key.transpose(1, 2) / 8**0.5, dim=-1)
        tokens = tokens + self.project(weights @ value)
        tokens = tokens + self.narrow(functional.gelu(self.widen(tokens)))
        return self.head(tokens.mean(1))


class StandardisedConv(nn.Conv2d):
    """Convolution with standardised weights, which the exporter has to fold."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(inputs, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5), self.bias, self.stride, self.padding)


class ImageNet(nn.Module):
    """A stem and one residual block with a gain. The buffer ``mean`` is named like a node that torch's exporter makes."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1, 1), 80.0))
        self.stem = StandardisedConv(1, width, 3, padding=1)
        self.first = StandardisedConv(width, width, 3, padding=1)
        self.second = StandardisedConv(width, width, 3, padding=1)
        self.gain = nn.Parameter(torch.tensor(0.2))
        self.head = nn.Linear(width, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.stem((inputs.permute(0, 3, 1, 2).float() - self.mean) / 60.0))
        hidden = functional.relu(hidden + self.gain * self.second(functional.relu(self.first(hidden))))
        return self.head(hidden.mean((2, 3)))


@pytest.fixture(scope="session")
def table_task() -> TabularTask:
    columns = (
        NumericColumn(name="age"),
        NumericColumn(name="dose"),
        CategoricalColumn(kind="categorical", name="risk", categories=CATEGORIES),
    )
    return TabularTask(family="tabular", label="outcome", labels=("well", "ill"), columns=columns)


@pytest.fixture(scope="session")
def image_task() -> ImageTask:
    return ImageTask(family="image", labels=("a", "b", "c", "d"), size=8, channels=1)


@pytest.fixture(scope="session")
def table_net() -> TableNet:
    torch.manual_seed(3)
    return TableNet().eval()


@pytest.fixture(scope="session")
def image_net() -> ImageNet:
    torch.manual_seed(4)
    return ImageNet().eval()


@pytest.fixture(scope="session")
def table_rows() -> NDArray[np.float32]:
    random = np.random.default_rng(5)
    rows = np.column_stack([random.normal(1, 2, 400), random.normal(-2, 0.5, 400), random.integers(0, 3, 400)]).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(6).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="session")
def table_onnx(table_net: TableNet, table_task: TabularTask, table_rows: NDArray[np.float32]) -> bytes:
    from shared.compress.export import export_float

    return export_float(table_net, table_task, table_rows)


@pytest.fixture(scope="session")
def image_onnx(image_net: ImageNet, image_task: ImageTask, images: NDArray[np.uint8]) -> bytes:
    from shared.compress.export import export_float

    return export_float(image_net, image_task, images)


def hand_made(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.generic]], shape: list[int | str], labels: int) -> bytes:
    """ONNX bytes of a graph over float ``inputs`` of the given shape."""
    inputs = [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "hand-made", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., bytes]:
    return hand_made


@pytest.fixture(scope="session")
def dense_onnx() -> bytes:
    """Graph: inputs (batch, 4) -> MatMul -> Relu -> Gemm -> logits (batch, 3)."""
    random = np.random.default_rng(7)
    constants = {
        "w": random.normal(size=(4, 16)).astype(np.float32),
        "v": random.normal(size=(3, 16)).astype(np.float32),
        "b": random.normal(size=3).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["inputs", "w"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "v", "b"], ["logits"], "second", transB=1),
    ]
    return hand_made(nodes, constants, ["batch", 4], 3)


IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="session")
def identity() -> Ed25519PrivateKey:
    return IDENTITY


@pytest.fixture(scope="session")
def public_key() -> bytes:
    return IDENTITY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@pytest.fixture(scope="session")
def table_int8(table_onnx: bytes, table_rows: NDArray[np.float32]) -> bytes:
    from shared.compress.calibrate import calibrated_tensors, choose_ranges, clip_ranges, histogram_counts, range_counts
    from shared.compress.quantise import quantise

    tensors = calibrated_tensors(table_onnx)
    lows, highs = choose_ranges(tensors, range_counts(table_onnx, tensors, table_rows))
    counts = histogram_counts(table_onnx, tensors, lows, highs, table_rows)
    return quantise(table_onnx, clip_ranges(tensors, lows, highs, counts), "u8s8-7bit")


@pytest.fixture(scope="session")
def manifest(table_task: TabularTask) -> Manifest:
    candidates = (
        CandidateResult(name="u8s8-7bit", right=78, agree=100, size=9000),
        CandidateResult(name="u8u8", right=79, agree=99, size=9001),
    )
    gate = GateResult(records=100, float_right=80, max_drop=0.02, candidates=candidates, winner="u8s8-7bit")
    provenance = Provenance(
        federation="heart",
        run="run-1",
        rounds=12,
        void_rounds=1,
        cohort_sizes=(4, 4, 3),
        roster_digest="ab" * 32,
        train_records=600,
        student_parameters=1234,
        teacher_parameters=56789,
    )
    return Manifest(task=table_task, device="portable", grid="u8s8-7bit", gate=gate, provenance=provenance)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest, table_int8: bytes, identity: Ed25519PrivateKey) -> Path:
    """The folder of a signed artifact; never change it, copy it."""
    folder = tmp_path_factory.mktemp("signed") / "artifact"
    write_artifact(folder, table_int8, manifest, identity)
    return folder
