"""A torch student as a float ONNX graph: preprocessing inside, batch dynamic, equal bytes for equal weights."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxscript import optimizer
from torch import nn

from shared.compress import graph, runtime
from shared.compress.simplify import fold_gains
from shared.compress.trace import PARAMETER, known, quiet, structure_digest, tensors, traced
from shared.errors import ArtifactError
from shared.task import Task

TOLERANCE = 1e-4
"""Largest difference between onnxruntime's logits and torch's, relative to the largest logit where that exceeds 1."""
_MOST_EXPORTS = 8
_NO_LIMIT = 2**62
_LOCK = threading.Lock()
_EXPORTS: OrderedDict[str, bytes] = OrderedDict()


def export_float(model: nn.Module, task: Task, samples: NDArray[Any] | None = None) -> bytes:
    """The student as ONNX (opset 21): ``inputs`` (raw records of the task, batch first) -> ``logits`` (batch, labels).

    The graph is checked against torch on ``samples`` (raw records; invented ones if none are given). Equal weights
    give equal bytes, in every process. The result is kept: the same student asked for again costs milliseconds.
    Raises :class:`ArtifactError` where the graph cannot be made or does not compute what torch computes.
    """
    inputs = example_inputs(task, 9) if samples is None else samples
    key = _digest(model, task)
    with _LOCK:
        # Equal tensors in an equal structure may still compute something else, by a constant that the digest cannot see.
        if key not in _EXPORTS or not _agrees(_EXPORTS[key], model, inputs):
            _EXPORTS[key] = _export(model, task, inputs)
        _EXPORTS.move_to_end(key)
        while len(_EXPORTS) > _MOST_EXPORTS:
            _EXPORTS.popitem(last=False)
        return _EXPORTS[key]


def example_inputs(task: Task, count: int) -> NDArray[Any]:
    """Invented raw records of a task: ``(count, columns)`` float32 with missing values, ``(count, H, W, C)`` uint8, or
    ``(count, tokens)`` int32 that end in padding."""
    random = np.random.default_rng(20)
    if task.family == "image":
        return random.integers(0, 256, (count, task.size, task.size, task.channels), dtype=np.uint8)
    if task.family == "text":
        ids = random.integers(0, task.vocabulary, (count, task.max_tokens), dtype=np.int32)
        return np.where(np.arange(task.max_tokens) < random.integers(1, task.max_tokens + 1, (count, 1)), ids, np.int32(task.padding))
    table = np.empty((count, len(task.columns)), np.float32)
    for position, column in enumerate(task.columns):
        if column.kind == "numeric":
            table[:, position] = random.normal(size=count) * 2.0 ** random.integers(-2, 8)
        else:
            table[:, position] = random.integers(0, len(column.categories), count)
    table[random.random(table.shape) < 0.2] = np.nan
    return table


_DIFFERS = "the exported graph does not compute what the torch student computes; an operation of its forward was traced wrongly"


def _export(model: nn.Module, task: Task, inputs: NDArray[Any]) -> bytes:
    example = torch.from_numpy(example_inputs(task, 3))
    # A graph of the same structure may still differ in a constant that the structure's digest cannot see.
    for fresh in (False, True) if known(model, example) else (True,):
        try:
            content = _finish(traced(model, example, fresh=fresh), model)
        except ArtifactError:
            raise
        except Exception as error:  # torch's exporter raises many kinds
            raise ArtifactError(f"the student cannot be exported to ONNX: {_first_line(error)}") from error
        if _agrees(content, model, inputs):
            return content
    raise ArtifactError(_DIFFERS)


def _finish(proto: onnx.ModelProto, model: nn.Module) -> bytes:
    values = tensors(model)
    for tensor in proto.graph.initializer:
        value = values.get(tensor.name.removeprefix(PARAMETER))
        if value is not None:
            tensor.CopyFrom(onnx.numpy_helper.from_array(value.detach().cpu().contiguous().numpy(), tensor.name))
    with quiet():
        proto = optimizer.optimize(proto, onnx_shape_inference=True, input_size_limit=_NO_LIMIT, output_size_limit=_NO_LIMIT)
    fold_gains(proto)
    graph.rename_canonically(proto)
    return graph.serialise(proto)


def _agrees(content: bytes, model: nn.Module, inputs: NDArray[Any]) -> bool:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        expected = np.concatenate(
            [model(torch.from_numpy(inputs[i : i + runtime.BATCH])).numpy() for i in range(0, len(inputs), runtime.BATCH)]
        )
    model.train(was_training)
    if not np.isfinite(expected).all():
        raise ArtifactError("the student's own answers are not finite, perhaps on missing values; it cannot become an artifact")
    found = runtime.logits(runtime.session(content), inputs)
    scale = max(1.0, float(np.abs(expected).max()))
    return bool(np.isfinite(found).all() and np.abs(found - expected).max() <= TOLERANCE * scale)


def _digest(model: nn.Module, task: Task) -> str:
    digest = hashlib.sha256(task.canonical())
    digest.update(structure_digest(model, torch.empty(0)).encode())
    for name, tensor in tensors(model).items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
