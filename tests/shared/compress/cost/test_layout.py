from __future__ import annotations

from shared.compress import graph
from shared.compress.cost.fused import fused
from shared.compress.cost.layout import with_conversions
from shared.compress.cost.operators import operators
from shared.compress.quantise import quantise
from shared.compress.scope import scope
from shared.compress.silent import silently_quantised


def copies(content, **how):
    found = with_conversions(fused(content), **({"block": 16, "blocked_floats": False} | how))
    return sum(entry.operator == "Transpose" and entry.kind == "relayout" for entry in found), found


def test_a_whole_net_in_int8_copies_once_at_its_end(graphs):
    count, found = copies(graphs["convolutional"][1])
    assert count == 1
    # The image's own change of layout is the one that is left out.
    assert len(found) == len(operators(fused(graphs["convolutional"][1])))
    assert not any(entry.kind == "turn" for entry in found)
    assert {(entry.rows, entry.work) for entry in found if entry.kind == "broadcast"} == {(256, 3)}


def test_a_float_net_in_blocks_leaves_them_once(graphs):
    content = graphs["convolutional"][0]
    count, found = copies(content, blocked_floats=True)
    assert count == 1
    # As it writes, a convolution adds the way around it.
    assert "Add" not in {entry.operator for entry in found}
    assert "Add" in {entry.operator for entry in copies(content)[1]}


def test_a_float_branch_among_int8_ones_is_paid_for(graphs):
    content, whole = graphs["convolutional"]
    last = [node.name for node in graph.parse(content).graph.node if node.op_type == "Conv"][-1]
    mixed = quantise(content, dict.fromkeys(scope(graph.parse(content)).tensors, (-2.0, 2.0)), "u8s8-7bit", in_float=[last])
    assert silently_quantised(mixed) == ()
    assert copies(mixed)[0] > copies(whole)[0]


def test_nothing_is_copied_where_there_are_no_maps(graphs):
    for family in ("tabular", "perceptron"):
        for content in graphs[family]:
            assert with_conversions(fused(content), block=16, blocked_floats=True) == operators(fused(content))
