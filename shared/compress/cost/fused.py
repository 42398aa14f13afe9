"""What onnxruntime would execute of an ONNX file, and the shape and type of every tensor in it, for one record.

The runtime's own optimiser is asked, at the level whose result does not depend on the machine it runs on, rather than its many
fusions written down a second time. Shapes are those of a run with an empty record, so that none has to be inferred.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from shared.compress import graph
from shared.errors import ArtifactError

DEFAULT_TOKENS = 128
"""Tokens of a record where neither the caller nor a table of positions in the graph says how many are the most."""
_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


@dataclass(frozen=True)
class Value:
    """Shape and type of a tensor; ``constant`` where it is stored in the file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    constant: bool = False

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.size * self.dtype.itemsize

    @property
    def int8(self) -> bool:
        """Whether its numbers are of 8 bits."""
        return self.dtype in (np.int8, np.uint8)


@dataclass(frozen=True)
class Fused:
    """The executed nodes in order, every tensor by name, and the names of the graph's ends."""

    nodes: tuple[onnx.NodeProto, ...]
    values: Mapping[str, Value]
    input: str
    outputs: frozenset[str]


def fused(content: bytes, tokens: int | None = None) -> Fused:
    """The file as onnxruntime runs it for one record of ``tokens`` tokens (a text's; without it, as many as the graph has positions for).

    Equal bytes give an equal result with one version of the runtime. Raises :class:`ArtifactError` for bytes that it cannot load
    or run.
    """
    model = graph.parse(content)
    if len(model.graph.input) != 1:
        raise ArtifactError(f"the graph takes {len(model.graph.input)} inputs; costs are predicted for graphs with one, 'inputs'")
    length = tokens if tokens is not None else _most_tokens(model)
    if length < 1:
        raise ArtifactError(f"a record of {length} tokens cannot be predicted; give at least 1")
    optimised = _optimised(content)
    values = _values(optimised, length)
    ends = frozenset(value.name for value in optimised.graph.output)
    return Fused(tuple(optimised.graph.node), values, optimised.graph.input[0].name, ends)


def _optimised(content: bytes) -> onnx.ModelProto:
    options = _options(ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        _session(content, options)
        return onnx.load_model(path, load_external_data=False)


def _values(model: onnx.ModelProto, tokens: int) -> dict[str, Value]:
    found = {tensor.name: Value(tuple(tensor.dims), _dtype(tensor.data_type), constant=True) for tensor in model.graph.initializer}
    inner = list(dict.fromkeys(name for node in model.graph.node for name in node.output if name))
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    session = _session(shown.SerializeToString(), _options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL))
    record = empty_record(session, tokens)
    try:
        made: list[NDArray[Any]] = session.run(inner, record)
    except Exception as error:  # onnxruntime raises several unrelated kinds
        raise ArtifactError("onnxruntime cannot run the ONNX file on an empty record; it is not one of a student") from error
    return found | {name: Value(value.shape, value.dtype) for name, value in ({**record, **dict(zip(inner, made, strict=True))}).items()}


def empty_record(session: ort.InferenceSession, tokens: int) -> dict[str, NDArray[Any]]:
    """One record of zeros for a session's input; of the free dimensions the first is 1, every other ``tokens``."""
    (taken,) = session.get_inputs()
    if taken.type not in _TYPES or not taken.shape:
        raise ArtifactError(f"the graph takes {taken.type} of shape {taken.shape}, which no task has")
    sizes = [size if isinstance(size, int) else tokens if place else 1 for place, size in enumerate(taken.shape)]
    return {taken.name: np.zeros(sizes, _TYPES[taken.type])}


def _most_tokens(model: onnx.ModelProto) -> int:
    """Rows of the table of positions that a text's graph cuts to the tokens it is given."""
    tables = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if len(tensor.dims) == 2}
    lengths = [tables[node.input[0]] for node in model.graph.node if node.op_type == "Slice" and node.input[0] in tables]
    return int(min(lengths, default=DEFAULT_TOKENS))


def _dtype(kind: int) -> np.dtype[Any]:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def _options(level: Any) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 4
    return options


def _session(content: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises several unrelated kinds
        raise ArtifactError("onnxruntime cannot load the ONNX file; it is damaged or needs a newer onnxruntime") from error
