from __future__ import annotations

import dataclasses

from shared.compress.measure import timing
from shared.compress.measure.cases import cases

CASE = next(case for case in cases(block=16, quick=True) if case.kind == "elementwise")


def test_seconds_are_the_slope_between_the_smallest_of_the_passes(monkeypatch):
    passes = iter([(9.0, 1.0), (5.0, 2.0), (7.0, 1.5)])
    monkeypatch.setattr(timing, "in_turns", lambda case, budget: next(passes))
    told: list[tuple[int, int]] = []
    found = timing.measure([dataclasses.replace(CASE, copies=8)], passes=3, budget=0.0, tell=lambda *how: told.append(how))
    assert found == [(5.0 - 1.0) / 8]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_noise_leaves_no_negative_time(monkeypatch):
    monkeypatch.setattr(timing, "in_turns", lambda case, budget: (1.0, 2.0))
    assert timing.measure([CASE], passes=1, budget=0.0) == [timing.LEAST]


def test_both_graphs_are_timed():
    assert all(seconds > 0 for seconds in timing.in_turns(CASE, 0.0))
