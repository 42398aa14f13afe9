from __future__ import annotations

import pytest

from shared.compress import graph
from shared.compress.devices import WEIGHTS_ONLY
from shared.compress.operators import count_operators
from shared.compress.paying import alike, left_in_float
from shared.compress.quantise import quantise
from tests.shared.compress.test_quantise import ranges


def conversions(content):
    return sum(node.op_type == "QuantizeLinear" for node in graph.parse(content).graph.node)


def integers(content):
    return sum(count_operators(content).int8.values())


@pytest.fixture(params=["table", "image"])
def made(request, table_rows, images):
    content = request.getfixturevalue(f"{request.param}_onnx")
    return content, ranges(content, {"table": table_rows, "image": images}[request.param])


def weighted(content):
    return frozenset().union(*alike(content, "u8s8-7bit").values())


def test_where_integers_are_free_everything_is_int8(made):
    content, found = made
    assert left_in_float(content, found, "u8s8-7bit", lambda file: 100.0 - integers(file)) == frozenset()


def test_where_conversions_cost_most_nothing_is_int8(made):
    content, found = made
    names = left_in_float(content, found, "u8s8-7bit", lambda file: 100.0 + 10 * conversions(file) - integers(file))
    assert names == weighted(content)
    assert quantise(content, found, "u8s8-7bit", in_float=names) == quantise(content, {}, WEIGHTS_ONLY)


def test_what_wins_too_little_is_not_changed(made):
    content, found = made
    assert left_in_float(content, found, "u8s8-7bit", lambda file: 1.0) == frozenset()


def test_a_group_is_decided_as_one(image_onnx, images):
    found = ranges(image_onnx, images)
    groups = list(alike(image_onnx, "u8s8-7bit").values())
    assert sum(len(group) for group in groups) == len(weighted(image_onnx)) == 4
    assert {len(group) for group in groups} == {1, 2}
    names = left_in_float(image_onnx, found, "u8s8-7bit", lambda file: 10.0 - ("Gemm" not in count_operators(file).int8))
    assert names in groups


def test_a_valley_that_is_left_only_from_the_other_side_is_found(image_onnx, images):
    # Any one group in INT8 is dearer than none, and all together are cheapest.
    found = ranges(image_onnx, images)
    costs = {0: 5.0, 1: 9.0, 2: 9.0, 3: 9.0, 4: 1.0}
    assert (
        left_in_float(
            image_onnx, found, "u8s8-7bit", lambda file: costs[sum(n for k, n in count_operators(file).int8.items() if k != "Add")]
        )
        == frozenset()
    )


def test_projections_that_the_recipe_leaves_in_float_are_not_asked_about(table_onnx):
    assert weighted(table_onnx) > frozenset().union(*alike(table_onnx, "u8s8-7bit-float-attention").values())
