from __future__ import annotations

from shared.compress.devices import WEIGHTS_ONLY
from shared.compress.operators import count_operators
from shared.compress.quantise import quantise


def test_a_float_graph_has_no_int8(table_onnx):
    found = count_operators(table_onnx)
    assert found.int8 == {}
    assert found.float["MatMul"] == 6


def test_products_of_activations_stay_in_float(table_int8):
    found = count_operators(table_int8)
    assert found.int8 == {"Gemm": 1, "MatMul": 4}
    assert found.float["MatMul"] == 2
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(found.float)


def test_weights_that_are_kept_in_8_bits_are_said_and_their_restoring_is_no_operator(table_onnx):
    whole, found = count_operators(table_onnx), count_operators(quantise(table_onnx, {}, WEIGHTS_ONLY))
    assert found.int8 == {}
    assert found.float == whole.float
    assert found.weights == 3
    assert whole.weights == 0
