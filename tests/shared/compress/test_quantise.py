from __future__ import annotations

import collections
import platform
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from shared.compress import graph, runtime
from shared.compress.calibrate import calibrated_tensors, choose_ranges, clip_ranges, histogram_counts, range_counts
from shared.compress.devices import RECIPES, WEIGHTS_ONLY, has_vnni
from shared.compress.export import export_float
from shared.compress.operators import count_operators
from shared.compress.quantise import activation_grid, quantise
from shared.errors import ArtifactError
from shared.settings import NetworkSettings
from shared.task import ImageTask
from tests.support.networks import network

ARITHMETIC = {name: how for name, how in RECIPES.items() if not how.weights_only}


def ranges(content, inputs):
    tensors = calibrated_tensors(content)
    lows, highs = choose_ranges(tensors, range_counts(content, tensors, inputs))
    return clip_ranges(tensors, lows, highs, histogram_counts(content, tensors, lows, highs, inputs))


def executed(content):
    """The operators that onnxruntime runs, by kind, after all that it rewrites itself."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return collections.Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def error(content, quantised, inputs):
    """Root mean square error of the logits, relative to their spread."""
    expected, found = (runtime.logits(runtime.session(c), inputs) for c in (content, quantised))
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


@pytest.mark.parametrize("name", [name for name, how in RECIPES.items() if not how.grid.saturates])
def test_answers_stay_close_on_tables(table_onnx, table_rows, name):
    assert error(table_onnx, quantise(table_onnx, ranges(table_onnx, table_rows), name), table_rows) < 0.03


@pytest.mark.parametrize("name", ["u8s8-7bit", "u8u8"])
def test_answers_stay_close_on_images(image_onnx, images, name):
    assert error(image_onnx, quantise(image_onnx, ranges(image_onnx, images), name), images) < 0.08


def test_a_dense_net_whose_relu_follows_a_float_output(dense_onnx):
    inputs = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
    assert error(dense_onnx, quantise(dense_onnx, ranges(dense_onnx, inputs), "u8s8-7bit"), inputs) < 0.02


def test_weights_hold_to_their_grid(image_onnx, images):
    found = ranges(image_onnx, images)
    for name, how in ARITHMETIC.items():
        values = graph.initialisers(graph.parse(quantise(image_onnx, found, name)))
        bytes_ = [
            value.astype(np.int64) - how.grid.zero for value in values.values() if value.dtype in (np.int8, np.uint8) and value.ndim > 1
        ]
        assert len(bytes_) == 4
        assert max(np.abs(value).max() for value in bytes_) == how.grid.limit


@pytest.mark.parametrize("kind", ["table", "image"])
def test_weights_alone_in_8_bits_are_close_and_the_runtime_makes_floats_of_them_once(kind, request, table_rows, images):
    content, inputs = request.getfixturevalue(f"{kind}_onnx"), {"table": table_rows, "image": images}[kind]
    quantised = quantise(content, {}, WEIGHTS_ONLY)
    assert error(content, quantised, inputs) < 0.02
    assert len(quantised) < len(content)
    stored = [tensor for tensor in graph.parse(quantised).graph.initializer if tensor.data_type == TensorProto.INT8]
    assert sum(np.prod(tensor.dims) for tensor in stored) > 400
    # After the runtime's own folding no cast of a constant is left: it costs nothing where it runs.
    assert not [kind for kind in executed(quantised) if kind in ("DequantizeLinear", "QuantizeLinear")]
    assert executed(quantised)["Mul"] == executed(content)["Mul"]
    assert executed(quantised)["Cast"] == executed(content)["Cast"]


def test_a_node_left_in_float_keeps_its_weights_in_8_bits(image_onnx, images):
    found = ranges(image_onnx, images)
    conv = next(node.name for node in graph.parse(image_onnx).graph.node if node.op_type == "Conv")
    whole, part = (quantise(image_onnx, found, "u8s8-7bit", in_float=names) for names in ((), (conv,)))
    assert count_operators(part).int8["Conv"] == count_operators(whole).int8["Conv"] - 1
    assert error(image_onnx, part, images) < 0.08


@pytest.mark.parametrize("weight", [0.0, 1e-6, 1e-3])
def test_the_bias_of_a_channel_of_next_to_no_weights_is_kept(make_graph, weight):
    weights = np.array([[1.0, -1.0, 0.5, 0.25], [weight] * 4], np.float32)
    constants = {"w": weights, "b": np.array([0.1, -7.0], np.float32)}
    content = make_graph([helper.make_node("Gemm", ["inputs", "w", "b"], ["logits"], "gemm", transB=1)], constants, ["batch", 4], 2)
    inputs = np.random.default_rng(2).uniform(-2, 2, (50, 4)).astype(np.float32)
    expected = runtime.logits(runtime.session(content), inputs)
    for name in ("u8s8-7bit", "u8u8"):
        found = runtime.logits(runtime.session(quantise(content, {"inputs": (-2.0, 2.0)}, name)), inputs)
        assert np.abs(found - expected).max() < 0.05


def test_everything_left_in_float_is_weights_only(table_onnx, table_rows):
    names = [node.name for node in graph.parse(table_onnx).graph.node]
    assert quantise(table_onnx, ranges(table_onnx, table_rows), "u8s8-7bit", in_float=names) == quantise(table_onnx, {}, WEIGHTS_ONLY)


def test_equal_arguments_give_equal_bytes(table_onnx, table_rows):
    found = ranges(table_onnx, table_rows)
    assert quantise(table_onnx, found, "u8s8-7bit") == quantise(table_onnx, dict(reversed(found.items())), "u8s8-7bit")


def test_int8_is_smaller_and_valid(image_onnx, images):
    content = quantise(image_onnx, ranges(image_onnx, images), "u8s8-7bit")
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    assert len(content) < len(image_onnx)
    assert "Relu" not in [node.op_type for node in graph.parse(content).graph.node]


def test_a_missing_range_is_named(image_onnx, images):
    found = ranges(image_onnx, images)
    lost = next(iter(found))
    with pytest.raises(ArtifactError, match=lost):
        quantise(image_onnx, {name: value for name, value in found.items() if name != lost}, "u8s8-7bit")


def test_an_unknown_grid_is_named(image_onnx):
    with pytest.raises(ArtifactError, match="'u4'"):
        quantise(image_onnx, {}, "u4")


@given(low=st.floats(-1e6, 0), high=st.floats(0, 1e6))
def test_zero_is_on_the_grid_and_the_range_is_covered(low, high):
    scale, zero = activation_grid(low, high)
    assert 0 <= zero <= 255
    assert (0 - zero) * scale <= low + scale
    assert (255 - zero) * scale >= high - scale


def saturating_convolution() -> tuple[bytes, np.ndarray]:
    """A 3 x 3 convolution whose every product is near the largest: two of them overflow 16 bits at full range."""
    weights = np.stack([np.full((16, 3, 3), 1.0), np.full((16, 3, 3), 0.9)]).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["inputs", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c", "axes"], ["logits"], "mean", keepdims=0),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("inputs", ["batch", 16, 8, 8]), ("logits", ["batch", 2]))]
    tensors = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([2, 3], np.int64), "axes")]
    made = helper.make_graph(nodes, "saturating", ends[:1], ends[1:], tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    inputs = np.random.default_rng(2).uniform(0.9, 1.0, (20, 16, 8, 8)).astype(np.float32)
    return model.SerializeToString(), inputs


@pytest.mark.parametrize("name", ["u8s8-7bit", "u8u8"])
def test_portable_grids_do_not_saturate_on_this_cpu(name):
    content, inputs = saturating_convolution()
    expected, found = (runtime.logits(runtime.session(c), inputs) for c in (content, quantise(content, ranges(content, inputs), name)))
    assert np.abs(found / expected - 1).max() < 0.02


@pytest.mark.skipif(platform.machine() != "x86_64" or has_vnni() is not False, reason="only x86 without VNNI adds in 16 bits")
def test_full_range_signed_weights_saturate_on_this_cpu():
    content, inputs = saturating_convolution()
    expected, found = (runtime.logits(runtime.session(c), inputs) for c in (content, quantise(content, ranges(content, inputs), "u8s8")))
    assert np.abs(found / expected - 1).max() > 0.2


@pytest.mark.parametrize("name", ["u8s8-7bit", "u8u8"])
def test_answers_of_an_inverted_residual_net_stay_close(name):
    task = ImageTask(family="image", labels=("a", "b", "c"), size=32, channels=3)
    model = network(task, NetworkSettings(width=16, depth=6, architecture="mobile"))
    pixels = np.random.default_rng(4).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    content = export_float(model, task, pixels)
    quantised = quantise(content, ranges(content, pixels), name)
    assert error(content, quantised, pixels) < 0.15
    # Its ReLU6 is done by the grid, and no convolution is left for the runtime to quantise by itself.
    assert operators(content)["Clip"] > 0
    assert "Clip" not in operators(quantised)
    assert "Conv" not in count_operators(quantised).float


def operators(content):
    return collections.Counter(node.op_type for node in graph.parse(content).graph.node)
