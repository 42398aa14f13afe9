"""Who takes part: everyone who can be reached, never fewer than the smallest cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from server.cohort import Gathering
from server.records import Epoch
from server.stopping import Interrupted, StopSignal
from shared.config import AggregationSettings
from shared.errors import RunError
from shared.exchange import Again, Answer, Request, never_again
from shared.secagg.roster import Roster

ROSTER = Roster(members=dict.fromkeys(("ash", "birch", "cedar", "elm"), b""), coordinator=b"")


class Clock(StopSignal):
    """A clock that moves only while the run waits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.check()


class Reachable:
    """An exchange whose institutions come with time."""

    def __init__(self, clock: Clock, come: Mapping[str, float]) -> None:
        self.clock, self.come = clock, come

    def institutions(self) -> frozenset[str]:
        return frozenset(name for name, at in self.come.items() if at <= self.clock.now)

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        return iter(())


def gathering(clock: Clock, come: Mapping[str, float]) -> Gathering:
    settings = AggregationSettings(smallest_cohort=3, deadline_s=100.0)
    return Gathering(Reachable(clock, come), ROSTER, settings, clock, lambda: clock.now)


def test_a_round_waits_for_enough_and_no_longer() -> None:
    clock = Clock()
    gathering(clock, {"ash": 0, "birch": 0, "cedar": 20, "elm": 90}).wait()
    assert clock.now == 20


@pytest.mark.parametrize(("last", "waited"), [(10, 10), (90, 60)])
def test_a_run_begins_with_everyone_if_they_come_soon(last: float, waited: float) -> None:
    clock = Clock()
    gathering(clock, {"ash": 0, "birch": 0, "cedar": 0, "elm": last}).wait(everyone=True)
    assert clock.now == waited


def test_too_few_is_an_error_that_names_the_missing() -> None:
    with pytest.raises(RunError, match=r"only 2 of 4 institutions can take part and a round needs 3 .*missing: cedar, elm"):
        gathering(Clock(), {"ash": 0, "birch": 0}).wait()


def test_waiting_ends_when_the_run_is_asked_to_stop() -> None:
    clock = Clock()
    clock.set()
    with pytest.raises(Interrupted):
        gathering(clock, {"ash": 0}).wait()


def test_the_cohort_is_the_epoch_s_members_who_can_be_reached() -> None:
    here = gathering(Clock(), {"ash": 0, "birch": 0, "cedar": 0, "elm": 0})
    epoch = Epoch(1, 1, ("ash",), "open", dict.fromkeys(("elm", "cedar", "birch"), b""))
    assert here.cohort(epoch) == ("birch", "cedar", "elm")


def test_a_refused_key_is_said_in_the_refusing_institution_s_words() -> None:
    here = gathering(Clock(), {"ash": 0, "birch": 0, "cedar": 0, "elm": 0})
    epoch = Epoch(1, 1, ("ash",), "open", {"elm": b"", "ash": b""}, {"birch": "birch has pinned another roster"})
    with pytest.raises(RunError, match="birch has pinned another roster"):
        here.cohort(epoch)
