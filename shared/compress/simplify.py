"""Rewrites of a float graph that do not change what it computes but let all of it become INT8."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from shared.compress.graph import drop_unused, initialisers


def fold_gains(model: onnx.ModelProto) -> None:
    """Folds a constant gain after a convolution (the scale of a residual branch) into its weights and bias, in place.

    ``gain * (W x + b) = (gain W) x + gain b`` for a gain that is one number or one a channel.
    """
    constants = initialisers(model)
    ends = {value.name for value in model.graph.output}
    for gain in [node for node in model.graph.node if node.op_type == "Mul"]:
        convolution = _convolution_before(model, gain, set(constants))
        factor = next((constants[name] for name in gain.input if name in constants), None)
        if convolution is None or factor is None or gain.output[0] in ends:
            continue
        weights = constants[convolution.input[1]]
        by_channel = _by_channel(factor, weights.shape[0])
        if by_channel is None:
            continue
        scaled = weights * by_channel.reshape(-1, *[1] * (weights.ndim - 1))
        convolution.input[1] = _add(model, f"{convolution.output[0]}.weight", scaled)
        if len(convolution.input) == 3:
            convolution.input[2] = _add(model, f"{convolution.output[0]}.bias", constants[convolution.input[2]] * by_channel)
        convolution.output[0] = gain.output[0]
        model.graph.node.remove(gain)
    drop_unused(model)


def _convolution_before(model: onnx.ModelProto, gain: onnx.NodeProto, constants: set[str]) -> onnx.NodeProto | None:
    for node in model.graph.node:
        if node.op_type == "Conv" and node.output[0] in gain.input and set(node.input[1:]) <= constants:
            readers = [other for other in model.graph.node if node.output[0] in other.input]
            return node if len(readers) == 1 else None
    return None


def _by_channel(factor: NDArray[Any], channels: int) -> NDArray[Any] | None:
    if factor.size == 1:
        return np.full(channels, factor.reshape(()), factor.dtype)
    shape = (1,) * (4 - factor.ndim) + factor.shape
    return factor.reshape(-1) if shape == (1, channels, 1, 1) else None


def _add(model: onnx.ModelProto, name: str, value: NDArray[Any]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))
    return name
