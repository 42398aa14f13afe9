"""Small signed artifacts for the edge's tests, quantised like real ones and made without torch, and servers over loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from client.edge.model import Current, FixedSource, InstalledSource, ServedModel, Source
from client.edge.server import EdgeOptions, EdgeServer
from shared.compress.artifact import write_artifact
from shared.compress.calibrate import calibrated_tensors, choose_ranges, clip_ranges, histogram_counts, range_counts
from shared.compress.manifest import CandidateResult, GateResult, InputsSeen, Manifest, Provenance
from shared.compress.quantise import quantise
from shared.rpc import edge_pb2 as pb
from shared.rpc.services import EDGE, Stub
from shared.task import CategoricalColumn, ImageTask, NumericColumn, TabularTask, Task, TextTask
from tests.support.texts import tokenizer_json

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
CATEGORIES = ("low", "middle", "high")
TABLE = TabularTask(
    family="tabular",
    label="outcome",
    labels=("well", "ill", "unsure"),
    columns=(
        NumericColumn(name="age"),
        NumericColumn(name="dose"),
        CategoricalColumn(kind="categorical", name="risk", categories=CATEGORIES),
    ),
)
IMAGES = ImageTask(family="image", labels=("a", "b"), size=4, channels=1)
SEEN = InputsSeen(means=(50.0, 2.0), deviations=(10.0, 0.5))


def table_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Records of :data:`TABLE` with some cells missing."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.normal(50, 10, count), random.normal(2, 0.5, count), random.integers(0, 3, count)]).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def table_request(rows: NDArray[np.float32], request_id: str = "", head: str = "") -> pb.PredictRequest:
    """The same records as a client writes them: numbers, category names, nothing where missing."""
    table = pb.Table(rows=[pb.Row(values=[_cell(index, cell) for index, cell in enumerate(row)]) for row in rows.tolist()])
    return pb.PredictRequest(request_id=request_id, head=head, table=table)


def _cell(index: int, cell: float) -> pb.Value:
    if np.isnan(cell):
        return pb.Value()
    return pb.Value(text=CATEGORIES[int(cell)]) if index == 2 else pb.Value(number=cell)


def table_model(seed: int = 0) -> bytes:
    """An INT8 network of two layers over standardised inputs, NaN as zero."""
    random = np.random.default_rng(seed)
    constants = {
        "zero": np.array(0.0, np.float32),
        "mean": np.array([50.0, 2.0, 1.0], np.float32),
        "scale": np.array([10.0, 0.5, 1.0], np.float32),
        "w": random.normal(size=(3, 16)).astype(np.float32),
        "v": random.normal(size=(16, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["inputs", "mean"], ["centred"], "centre"),
        helper.make_node("Div", ["centred", "scale"], ["scaled"], "rescale"),
        helper.make_node("IsNaN", ["scaled"], ["absent"], "absent"),
        helper.make_node("Where", ["absent", "zero", "scaled"], ["known"], "known"),
        helper.make_node("MatMul", ["known", "w"], ["hidden"], "first"),
        helper.make_node("Relu", ["hidden"], ["active"], "relu"),
        helper.make_node("MatMul", ["active", "v"], ["logits"], "second"),
    ]
    graph = _graph(nodes, constants, TensorProto.FLOAT, ["batch", 3], 3)
    tensors, rows = calibrated_tensors(graph), table_rows(300, seed)
    lows, highs = choose_ranges(tensors, range_counts(graph, tensors, rows))
    return quantise(graph, clip_ranges(tensors, lows, highs, histogram_counts(graph, tensors, lows, highs, rows)), "u8u8")


def image_model() -> bytes:
    """Two labels from the sums of two halves of an image."""
    weights = np.zeros((16, 2), np.float32)
    weights[:8, 0] = weights[8:, 1] = 0.01
    nodes = [
        helper.make_node("Cast", ["inputs"], ["floats"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "shape"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "w"], ["logits"], "linear"),
    ]
    return _graph(nodes, {"w": weights, "shape": np.array([-1, 16])}, TensorProto.UINT8, ["batch", 4, 4, 1], 2)


def text_model(vocabulary: int, padding: int, labels: int, seed: int = 0) -> bytes:
    """Logits are sums over the tokens that are no padding. The table lies on a grid, as an INT8 one does, so that sums are exact."""
    table = np.round(8 * np.random.default_rng(seed).normal(size=(vocabulary, labels))).astype(np.float32) / 8
    table[padding] = 0.0
    nodes = [
        helper.make_node("Gather", ["table", "inputs"], ["found"], "embed"),
        helper.make_node("ReduceSum", ["found", "axis"], ["logits"], "sum", keepdims=0),
    ]
    return _graph(nodes, {"table": table, "axis": np.array([1])}, TensorProto.INT32, ["batch", "tokens"], labels)


def _graph(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], kind: int, shape: list[int | str], labels: int) -> bytes:
    inputs = [helper.make_tensor_value_info("inputs", kind, shape)]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "edge", inputs, outputs, tensors)
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    return content


def make_artifact(folder: Path, version: int = 1, *, seed: int | None = None, task: Task = TABLE, key: Ed25519PrivateKey = KEY) -> Path:
    """A signed artifact; its weights differ by ``seed``, which is the version where it is not given."""
    gate = GateResult(
        records=10, float_right=9, max_drop=0.1, candidates=(CandidateResult(name="u8u8", right=8, agree=9, size=5),), winner="u8u8"
    )
    came = Provenance(federation="f", run=f"run-{version}", rounds=3, void_rounds=0, roster_digest="0" * 64, student_parameters=4)
    seen = SEEN if task is TABLE else None
    manifest = Manifest(version=version, task=task, device="portable", grid="u8u8", gate=gate, provenance=came, inputs_seen=seen)
    if isinstance(task, TextTask):
        write_artifact(folder, text_model(task.vocabulary, task.padding, len(task.labels)), manifest, key, tokenizer_json().encode())
    else:
        content = image_model() if task is IMAGES else table_model(version if seed is None else seed)
        write_artifact(folder, content, manifest, key)
    return folder


@dataclass
class Running:
    """A server over loopback and a channel to it; ``said`` is what it told."""

    server: EdgeServer
    channel: Any
    listening: str
    metrics: str | None
    said: list[str] = field(default_factory=list)

    def call(self, name: str) -> Any:
        return Stub(self.channel, EDGE).call(name)

    async def predict(self, request: pb.PredictRequest, timeout: float | None = 30.0) -> pb.PredictReply:
        reply: pb.PredictReply = await self.call("Predict")(request, timeout=timeout)
        return reply

    async def look(self) -> None:
        """Looks for another version and waits until it has been tried."""
        current = self.server.current
        before = (current.loaded, current.refusals)
        self.server.look()
        await until(lambda: before != (current.loaded, current.refusals))


@asynccontextmanager
async def running(source: Source | Path, options: EdgeOptions = EdgeOptions(listen="127.0.0.1:0")) -> AsyncIterator[Running]:
    """A started server; a folder is an artifact signed by :data:`KEY`, or an installation."""
    if isinstance(source, Path):
        source = InstalledSource(source) if (source / "installed.json").exists() else FixedSource(source, PUBLIC)
    said: list[str] = []
    server = EdgeServer(Current(source, said.append), options, said.append)
    ready = await server.start()
    try:
        async with grpc.aio.insecure_channel(ready.listening) as channel:
            yield Running(server, channel, ready.listening, ready.metrics, said)
    finally:
        await server.stop()


class Gate:
    """Lets a model's runs through only once it is open, and notes the rows of each."""

    def __init__(self, model: ServedModel) -> None:
        self.ran: list[NDArray[Any]] = []
        self._open, self._entered = threading.Event(), threading.Event()
        logits = model.artifact.logits

        def held(inputs: NDArray[Any]) -> NDArray[np.float32]:
            self._entered.set()
            assert self._open.wait(60)
            self.ran.append(inputs)
            return logits(inputs)

        model.artifact.logits = held  # type: ignore[method-assign]

    def open(self) -> None:
        self._open.set()

    async def entered(self) -> None:
        """Returns once a run has begun."""
        assert await asyncio.to_thread(self._entered.wait, 60)


async def until(condition: Callable[[], bool]) -> None:
    """Lets the event loop turn until the condition holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)
