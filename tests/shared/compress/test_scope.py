from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from shared.compress import graph
from shared.compress.scope import absorbed_relu, scope, written


def by_name(model, names):
    return [node.op_type for node in model.graph.node if node.name in names]


def test_a_dense_net_is_quantised_where_it_multiplies(dense_onnx):
    chosen = scope(graph.parse(dense_onnx))
    assert chosen.weighted == ("first", "second")
    assert chosen.inputs == ("inputs", "r")
    assert chosen.outputs == ()
    assert chosen.tensors == ("inputs", "r")


def test_a_residual_net_stays_in_int8_through_its_sums(image_onnx):
    model = graph.parse(image_onnx)
    chosen = scope(model)
    assert by_name(model, chosen.weighted) == ["Conv", "Conv", "Conv", "Gemm"]
    assert by_name(model, chosen.sums) == ["Add"]
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    assert set(relus) <= set(chosen.outputs)


def test_products_of_activations_are_left_in_float(table_onnx):
    model = graph.parse(table_onnx)
    constants = {tensor.name for tensor in model.graph.initializer}
    chosen = scope(model)
    products = [node.name for node in model.graph.node if node.op_type == "MatMul" and not constants & set(node.input)]
    assert len(products) == 2
    assert not set(products) & set(chosen.weighted)
    assert len(chosen.weighted) == 5


def test_without_attention_its_projections_stay_in_float(table_onnx):
    model = graph.parse(table_onnx)
    left = set(scope(model).weighted) - set(scope(model, attention=False).weighted)
    shapes = sorted(graph.initialisers(model)[node.input[1]].shape for node in model.graph.node if node.name in left)
    assert shapes == [(8, 8), (8, 24)]


def test_a_net_without_attention_is_the_same_without(image_onnx, dense_onnx):
    for content in (image_onnx, dense_onnx):
        model = graph.parse(content)
        assert scope(model) == scope(model, attention=False)


def test_a_relu_is_absorbed_only_by_its_single_source(dense_onnx):
    model = graph.parse(dense_onnx)
    assert absorbed_relu(model, model.graph.node[0]) == model.graph.node[1]
    assert written(model, model.graph.node[0]) == "r"
    model.graph.node[2].input[2] = "h"
    assert absorbed_relu(model, model.graph.node[0]) is None
    assert written(model, model.graph.node[0]) == "h"


def test_depthwise_convolutions_are_in_int8_too(image_onnx):
    model = graph.parse(image_onnx)
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    for attribute in convolution.attribute:
        if attribute.name == "group":
            attribute.i = 8
    assert convolution.name in scope(model).weighted


def test_a_clip_from_zero_is_absorbed_as_a_relu_is() -> None:
    weight = numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "weight")
    for low, absorbed in ((0.0, True), (-1.0, False)):
        ends = [numpy_helper.from_array(np.float32(value), name) for name, value in (("low", low), ("high", 6.0))]
        nodes = [
            onnx.helper.make_node("Conv", ["x", "weight"], ["c"], name="conv"),
            onnx.helper.make_node("Clip", ["c", "low", "high"], ["y"], name="clip"),
        ]
        values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2, 4, 4]) for name in "xy"]
        model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", values[:1], values[1:], [weight, *ends]))
        assert written(model, model.graph.node[0]) == ("y" if absorbed else "c")
