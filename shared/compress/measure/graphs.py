"""Graphs that hold one operator many times, as small as onnxruntime can be kept from simplifying.

``chained`` operators read each other's results, ``beside`` ones the same input. Weights differ from copy to copy, or the runtime would
compute one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
_SCALE, _ZERO = np.float32(0.04), np.uint8(128)
FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


class Sketch:
    """A graph in the making. ``add`` returns the name of what the node makes."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.add_constants = {"scale": self.constant(_SCALE), "zero": self.constant(_ZERO)}

    def constant(self, value: Any) -> str:
        """The name of a new constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, *shape: int, inner: int) -> str:
        """Random float weights that keep the deviation of what they multiply."""
        return self.constant((self.random.normal(size=shape) / np.sqrt(inner)).astype(np.float32))

    def bytes_of_weights(self, *shape: int, axis: int) -> str:
        """Random signed 7-bit weights with one scale a channel, dequantised."""
        values = self.random.integers(-63, 64, shape).astype(np.int8)
        inner = values.size // shape[axis]
        scales = np.full(shape[axis], 1 / (37 * np.sqrt(inner)), np.float32)
        zeros = np.zeros(shape[axis], np.int8)
        return self.add("DequantizeLinear", [self.constant(values), self.constant(scales), self.constant(zeros)], axis=axis)

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A new node."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def quantised(self, name: str) -> str:
        """The tensor in 8 bits."""
        return self.add("QuantizeLinear", [name, self.add_constants["scale"], self.add_constants["zero"]])

    def dequantised(self, name: str) -> str:
        """The tensor of 8 bits in float."""
        return self.add("DequantizeLinear", [name, self.add_constants["scale"], self.add_constants["zero"]])

    def finish(self, inputs: Sequence[tuple[str, int, Sequence[int]]], outputs: Sequence[tuple[str, int]], rank: int) -> bytes:
        """The bytes of the graph; of the outputs only the rank is declared."""
        given = [helper.make_tensor_value_info(name, kind, list(shape)) for name, kind, shape in inputs]
        made = [helper.make_tensor_value_info(name, kind, [None] * rank) for name, kind in outputs]
        graph = helper.make_graph(self.nodes, "measure", given, made, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        content: bytes = model.SerializeToString()
        return content


Step = Callable[[Sketch, str, int], str]
"""Adds one copy, given the tensor before it and its number, and returns what it makes."""


def chained(copies: int, shape: Sequence[int], step: Step, *, int8: bool = False, others: Sequence[Sequence[int]] = ()) -> bytes:
    """``inputs`` of ``shape`` through ``copies`` steps. With ``int8`` each step's result is kept in 8 bits. ``others``: shapes of more
    inputs, ``other0`` on."""
    sketch = Sketch()
    last = "inputs"
    for number in range(copies):
        if int8:
            last = sketch.quantised(step(sketch, sketch.dequantised(sketch.quantised(last) if number == 0 else last), number))
        else:
            last = step(sketch, last, number)
    ends = [("inputs", FLOAT, shape), *((f"other{place}", FLOAT, other) for place, other in enumerate(others))]
    return sketch.finish(ends, [(last, UINT8 if int8 else FLOAT)], len(shape))


def beside(
    copies: int, shape: Sequence[int], step: Step, *, taken: int = FLOAT, made: int = FLOAT, in_int8: bool = False, rank: int | None = None
) -> bytes:
    """``copies`` steps that all read ``inputs``, as it is or, with ``in_int8``, quantised once. ``rank`` of what is made: that of
    ``shape`` if none is given."""
    sketch = Sketch()
    first = sketch.quantised("inputs") if in_int8 else "inputs"
    results = [step(sketch, sketch.dequantised(first) if in_int8 else first, number) for number in range(copies)]
    return sketch.finish([("inputs", taken, shape)], [(name, made) for name in results], len(shape) if rank is None else rank)
