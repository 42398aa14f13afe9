from __future__ import annotations

from shared.compress.operators import count_operators


def test_a_float_graph_has_no_int8(table_onnx):
    found = count_operators(table_onnx)
    assert found.int8 == {}
    assert found.float["MatMul"] == 6


def test_products_of_activations_stay_in_float(table_int8):
    found = count_operators(table_int8)
    assert found.int8 == {"Gemm": 1, "MatMul": 4}
    assert found.float["MatMul"] == 2
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(found.float)
