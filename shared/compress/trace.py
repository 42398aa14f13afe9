"""The graph of a network without its weights: torch's exporter, quiet, and asked only once for each structure.

Tracing costs seconds, filling in weights milliseconds. Every institution of a simulation, every seed of a benchmark
and every round of a run has the same structure, so the traced graph is kept for the life of the process.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import nn

OPSET = 21
PARAMETER = "parameter."
"""Prefix of the initialisers that hold a parameter or a buffer of the module."""
_MOST_STRUCTURES = 16
_NOISY = ("torch.onnx._internal.exporter._registration", "torch.onnx._internal.exporter._core")
_LOCK = threading.Lock()
_GRAPHS: OrderedDict[str, bytes] = OrderedDict()


def structure_digest(model: nn.Module, example: torch.Tensor) -> str:
    """A digest of all that decides the graph but the values of weights and buffers.

    Covers the modules, their plain attributes, the names, shapes and types of all tensors, and the input's shape.
    """
    parts = [str(model), str(tuple(example.shape)), str(example.dtype)]
    for name, module in model.named_modules():
        plain = {key: value for key, value in vars(module).items() if key != "training" and _is_plain(value)}
        parts.append(f"{name}:{type(module).__module__}.{type(module).__qualname__}:{sorted(plain.items())!r}")
    parts += [f"{name}:{tuple(tensor.shape)}:{tensor.dtype}" for name, tensor in tensors(model).items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters and buffers by name, tied ones under each of their names."""
    found: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    return found | dict(model.named_buffers(remove_duplicate=False))


def known(model: nn.Module, example: torch.Tensor) -> bool:
    """Whether a model of this structure was traced before, so that :func:`traced` would cost nothing."""
    with _LOCK:
        return structure_digest(model, example) in _GRAPHS


def traced(model: nn.Module, example: torch.Tensor, *, fresh: bool = False) -> onnx.ModelProto:
    """The model's graph as torch's exporter gives it, unoptimised, with input ``inputs`` and output ``logits``.

    ``example`` is ``(batch, ...)`` with batch > 1; the batch is dynamic in the graph, and of token ids their number too, up to
    that of the example. The initialisers hold the values
    of whichever model of this structure was traced first: fill in your own. ``fresh`` traces anew.
    """
    key = structure_digest(model, example)
    with _LOCK:
        if fresh or key not in _GRAPHS:
            _GRAPHS[key] = _trace(model, example)
        _GRAPHS.move_to_end(key)
        while len(_GRAPHS) > _MOST_STRUCTURES:
            _GRAPHS.popitem(last=False)
        return onnx.load_model_from_string(_GRAPHS[key])


def _trace(model: nn.Module, example: torch.Tensor) -> bytes:
    was_training = model.training
    model.eval()
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["inputs"],
                output_names=["logits"],
                dynamic_shapes=(_dynamic(example),),
                optimize=False,
                verbose=False,
            )
    finally:
        model.train(was_training)
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    # The exporter names nodes and buffers apart: a buffer called "mean" clashes with a node of that name (torch 2.13).
    for value in list(program.model.graph.initializers.values()):
        value.name = f"{PARAMETER}{value.name}"
    content: bytes = program.model_proto.SerializeToString(deterministic=True)
    return content


def _dynamic(example: torch.Tensor) -> dict[int, Any]:
    # Token ids are the one raw input of two dimensions that are whole numbers.
    tokens = {1: torch.export.Dim("tokens", max=example.shape[1])} if example.dtype == torch.int32 and example.dim() == 2 else {}
    return {0: torch.export.Dim("batch"), **tokens}


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporter's own warnings (missing torchvision, its internal deprecations) off the log, here only."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str | torch.Size)
