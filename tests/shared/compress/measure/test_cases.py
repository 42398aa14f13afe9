from __future__ import annotations

import typing
from collections import Counter

import onnx
import pytest

from shared.compress import runtime
from shared.compress.cost.fused import fused
from shared.compress.cost.operators import operators
from shared.compress.devices.schema import Kind
from shared.compress.measure.cases import cases, copies_of

QUICK = list(cases(block=16, quick=True))
FIRST = {(case.kind, case.int8, case.ragged): case for case in reversed(QUICK)}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("block", [8, 16])
def test_every_table_is_a_whole_grid_and_every_cell_is_measured_once(block, quick):
    cells = Counter((case.kind, case.int8, case.ragged, case.rows, case.work) for case in cases(block=block, quick=quick))
    assert set(cells.values()) == {1}
    for key in {cell[:3] for cell in cells}:
        rows, work = ({cell[axis] for cell in cells if cell[:3] == key} for axis in (3, 4))
        assert sum(cell[:3] == key for cell in cells) == len(rows) * len(work)


def test_every_kind_but_the_rare_ones_is_measured():
    assert set(typing.get_args(Kind)) - {case.kind for case in QUICK} == {"pool"}
    assert {case.kind for case in QUICK if case.int8} >= {"gemm", "spatial", "pointwise", "depthwise", "elementwise"}


@pytest.mark.parametrize("key", FIRST, ids=str)
def test_the_two_graphs_run_and_differ_by_the_operator_alone(key):
    case = FIRST[key]
    counts = []
    for content in case.pair():
        session = runtime.session(content)
        session.run(None, {value.name: case.feed[value.name] for value in session.get_inputs()})
        counts.append(sum(Counter(node.op_type for node in onnx.load_model_from_string(content).graph.node).values()))
    assert counts[0] > counts[1]


@pytest.mark.parametrize("key", [key for key in FIRST if key[0] in ("gemm", "spatial", "pointwise", "depthwise", "normalise")], ids=str)
def test_what_is_measured_is_what_is_predicted_with(key):
    case = FIRST[key]
    if len(case.feed) == 1:
        found = [entry for entry in operators(fused(case.pair()[0])) if entry.kind == case.kind]
        assert len(found) == case.copies + 1
        # The last of a chain may be left in float, because what comes after it decides.
        assert {(entry.rows, entry.work) for entry in found} == {(case.rows, case.work)}
        assert found[0].int8 == case.int8


def test_small_operators_come_in_many_copies_and_large_weights_in_few():
    assert copies_of(1) == 24
    assert copies_of(2**30) == 2
    assert copies_of(1, weights=2**19) == 2
