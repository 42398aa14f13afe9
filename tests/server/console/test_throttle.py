from __future__ import annotations

from server.console.throttle import Throttle


def test_so_many_in_a_while_and_no_more_until_it_is_over() -> None:
    now = [0.0]
    throttle = Throttle(3, 10.0, clock=lambda: now[0])
    assert [throttle.admits() for _ in range(5)] == [True, True, True, False, False]
    now[0] = 9.9
    assert not throttle.admits()
    now[0] = 10.0
    assert [throttle.admits() for _ in range(4)] == [True, True, True, False], "what was refused does not count"
