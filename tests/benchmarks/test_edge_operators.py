from __future__ import annotations

import sys

import pytest

from benchmarks import edge_operators
from benchmarks.arm import COMMAND, COUNTER, Counts
from benchmarks.edge_operators import claims, rate, rates
from shared.compress.measure.cases import cases

A_CASE = next(case for case in cases(block=16, quick=True) if case.kind == "depthwise" and not case.int8)


def test_what_a_call_costs_beside_the_copies_cancels() -> None:
    own = A_CASE.rows * A_CASE.work // 4
    assert rate(A_CASE, 1e6 + (A_CASE.copies + 1) * own, 1e6 + own) == pytest.approx(4.0)


def test_gain_and_share_are_of_equal_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulator that takes one instruction for 8 multiply-accumulates, half as many in INT8, and ten times as many in a depthwise one."""

    def made_up(asked, cpu):
        found = []
        for case in edge_operators.convolutions():
            own = case.rows * case.work / (16 if case.int8 else 8) * (10 if case.kind == "depthwise" else 1)
            found += [Counts(5000 + own * copies, (0.0, 0.0)) for copies in (case.copies + 1, 1)]
        assert len(found) == len(asked)
        return found

    monkeypatch.setattr(edge_operators, "counted", made_up)
    found = {entry.name: entry.value for entry in claims("cortex-a72", rates("cortex-a72"))}
    assert found["cortex-a72.spatial.float"] == pytest.approx(8.0)
    assert found["cortex-a72.depthwise.int8"] == pytest.approx(1.6)
    assert found["cortex-a72.depthwise.int8_gain"] == pytest.approx(2.0)
    assert found["cortex-a72.depthwise.share.float"] == found["cortex-a72.depthwise.share.int8"] == pytest.approx(0.1)


def test_where_nothing_is_counted_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(COMMAND, sys.executable)
    monkeypatch.delenv(COUNTER, raising=False)
    with pytest.raises(SystemExit, match="21"):
        edge_operators.main([])
    assert capsys.readouterr().err.startswith("SKIPPED: FEDSTILL_ARM_COUNTER")
