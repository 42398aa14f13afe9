"""A run goes on without an institution that was revoked, and is not disturbed by one that joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.events import EpochOpened, Event, RoundClosed, RoundStarted, RoundVoid
from server.provision import expel, keep_roster
from server.site import CoordinatorSite
from server.stopping import Interrupted, StopSignal
from shared.errors import RunError
from shared.identity import load_roster, save_roster
from shared.secagg.roster import Roster
from tests.support.small import SmallFederation, make_federation


def stopped_after(federation: SmallFederation, kind: type[Event], number: int) -> list[Event]:
    """The events of a run that is stopped when the event of this kind and number comes."""
    stop, events = StopSignal(), list[Event]()

    def watch(event: Event) -> None:
        if isinstance(event, kind) and getattr(event, "number", number) == number:
            stop.set()

    with pytest.raises(Interrupted):
        federation.run(events=events, stop=stop, watch=watch)
    return events


def revoke(federation: SmallFederation, name: str) -> Roster:
    """As ``coordinator revoke`` and the others' upkeep do it."""
    smaller = expel(federation.coordinator, name)
    del federation.institutions[name]
    for home in federation.institutions.values():
        save_roster(home / "roster.json", smaller)
    return smaller


@pytest.mark.parametrize("stage", [RoundClosed, RoundStarted])
def test_the_next_epoch_is_without_who_was_revoked(tmp_path: Path, stage: type[Event]) -> None:
    """Between two rounds, and in the middle of one, which is void then."""
    federation = make_federation(tmp_path, 4)
    stopped_after(federation, stage, 3)
    revoke(federation, "birch")
    events: list[Event] = []
    assert federation.run(events=events).artifact.exists()
    opened = [event for event in events if isinstance(event, EpochOpened)]
    assert [event.members for event in opened] == [("ash", "cedar", "elm")]
    assert not opened[0].refused
    assert all("birch" not in event.cohort for event in events if isinstance(event, RoundStarted))
    voids = [event.reason for event in events if isinstance(event, RoundVoid)]
    assert voids == (["an institution was revoked"] if stage is RoundStarted else [])


def test_who_is_new_takes_part_in_the_next_run_and_does_not_disturb_this_one(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    stopped_after(federation, RoundClosed, 2)
    before = load_roster(federation.coordinator / "roster.json")
    keep_roster(federation.coordinator, Roster(members={**before.members, "newcomer": bytes(range(32))}, coordinator=before.coordinator))
    assert CoordinatorSite(federation.coordinator, run="trial").roster.digest == before.digest
    assert "newcomer" in CoordinatorSite(federation.coordinator, run="another").roster.members
    events: list[Event] = []
    assert federation.run(events=events).artifact.exists()
    assert not [event for event in events if isinstance(event, EpochOpened)], "its epoch holds on"


def test_too_few_that_are_left_are_said(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    stopped_after(federation, RoundClosed, 2)
    revoke(federation, "birch")
    with pytest.raises(RunError, match="only 2 of 2 institutions"):
        federation.run()


def test_another_roster_that_nobody_revoked_into_being_is_refused(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    stopped_after(federation, RoundClosed, 2)
    before = load_roster(federation.coordinator / "roster.json")
    # As if the file were exchanged by hand: the one that the run began with was never kept.
    save_roster(
        federation.coordinator / "roster.json", Roster(members=dict(list(before.members.items())[:2]), coordinator=before.coordinator)
    )
    with pytest.raises(RunError, match="another roster"):
        federation.run()
