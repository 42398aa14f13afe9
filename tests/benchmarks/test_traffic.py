"""The bytes that are reported are those of messages that an institution and a coordinator would take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from benchmarks.traffic import Traffic, uplink
from server.phases import Asked
from shared.secagg.messages import Layout, Plan
from shared.work import GateWork
from tests.support.secagg import Federation

PLAN = Federation().plan()
COUNTERS = 9


def shaped(size: int, width: int = 8) -> Plan:
    return replace(PLAN, layout=Layout(size, COUNTERS, width))


@pytest.mark.parametrize("width", [8, 16, 32])
def test_words_cost_their_width_and_the_rest_does_not_grow_with_them(width: int) -> None:
    small, large = uplink(shaped(100, width)), uplink(shaped(100_000, width))
    assert (small.words, large.words) == (100 * width // 8, 100_000 * width // 8)
    rest, more = small.total - small.words, large.total - large.words
    # Two control words and the counters, and at least 32 bytes of share and commitment each, for five seeds.
    assert 8 * (COUNTERS + 2) + 2 * 5 * 32 < rest < 4000
    assert more - rest < 8, "a longer number in the header at most"


def test_the_way_down_is_the_median_of_all_but_the_first_round() -> None:
    traffic, blob = Traffic(), save({"vector": np.zeros(50, np.float32)})
    for number, delta in enumerate((b"", b"d" * 30, b"d" * 40, b"d" * 50), start=1):
        traffic(Asked(GateWork(candidates=("u8u8",)), blob, delta, update_words=50), replace(shaped(50), round=number))
    traffic(Asked(GateWork(candidates=("u8u8",))), shaped(0))
    whole = Traffic()
    whole(*traffic.rounds[0])
    assert (len(traffic.rounds), traffic.parameters, traffic.uplink().words) == (4, 50, 50)
    assert whole.downlink() - traffic.downlink() == len(blob) - 40
