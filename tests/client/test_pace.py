"""Quick while there is work, slow when there has been none for a while, and a sign of life now and then."""

from __future__ import annotations

from pathlib import Path

from client.pace import AWAKE_S, QUICK_S, SLOW_S, Pace

IDLE, BUSY = 3.0, 0.5
"""The two sleeps that Flower's SuperNode asks for."""


class Clock:
    """A clock that its own sleeps move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_polls_are_quick_at_first_and_slow_after_a_while() -> None:
    clock = Clock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    while clock.now < 100.0 + AWAKE_S + 10:
        pace.sleep(IDLE)
    assert clock.slept[0] == QUICK_S
    assert clock.slept[-1] == SLOW_S
    pace.sleep(BUSY)
    pace.sleep(IDLE)
    assert clock.slept[-2:] == [QUICK_S, QUICK_S]


def test_never_longer_than_wished() -> None:
    clock = Clock()
    Pace(clock=clock, sleep=clock.sleep).sleep(0.01)
    assert clock.slept == [0.01]


def test_alive_is_touched_now_and_then(tmp_path: Path) -> None:
    clock, alive = Clock(), tmp_path / "alive"
    pace = Pace(alive, clock=clock, sleep=clock.sleep)
    assert not alive.exists()
    pace.sleep(IDLE)
    assert alive.exists()
    alive.unlink()
    pace.sleep(IDLE)
    assert not alive.exists()
    clock.now += 5.0
    pace.sleep(IDLE)
    assert alive.exists()
