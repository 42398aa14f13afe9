"""Epochs: a key counts only if its owner signed it, and who stays silent is asked ever more seldom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.epochs import EpochKeeper, misses
from server.events import Event
from server.records import Epoch
from server.site import CoordinatorSite
from shared.exchange import Absent, Again, Answer, Refusal, Reply, Request, never_again
from shared.identity import load_identity
from shared.rpc.codec import to_wire
from shared.secagg.institution import InstitutionEpoch, SecaggPolicy
from shared.secagg.messages import EpochKey
from shared.secagg.signing import epoch_key_bytes, sign
from tests.support.small import NAMES, SmallFederation, make_federation


def key_of(federation: SmallFederation, name: str, epoch: int = 1) -> EpochKey:
    roster = CoordinatorSite(federation.coordinator).roster
    opened = InstitutionEpoch.open(
        institution=name,
        identity=load_identity(federation.institutions[name] / "keys" / "identity.key"),
        roster=roster,
        run="trial",
        epoch=epoch,
        roster_digest=roster.digest,
        policy=SecaggPolicy(smallest_cohort=3, collusion=1, longest_clip_norm=10.0, most_rounds=100),
    )
    return opened.key


class Scripted:
    """An exchange that answers Open with what was written down for it."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[frozenset[str]] = []

    def institutions(self) -> frozenset[str]:
        return frozenset(self.answers)

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        self.asked.append(frozenset(requests))
        yield from ((name, self.answers[name]) for name in requests)


def keeper(federation: SmallFederation, exchange: Scripted, events: list[Event]) -> EpochKeeper:
    site = CoordinatorSite(federation.coordinator)
    return EpochKeeper("trial", exchange, site.store, site.identity, site.roster, 10.0, events.append)


@pytest.fixture
def federation(tmp_path: Path) -> SmallFederation:
    return make_federation(tmp_path, 5)


def test_only_a_key_signed_by_its_owner_for_this_epoch_counts(federation: SmallFederation) -> None:
    answers = {
        "ash": Reply(to_wire(key_of(federation, "ash"))),
        "birch": Reply(to_wire(replace(key_of(federation, "ash"), institution="birch"))),
        "cedar": Reply(to_wire(key_of(federation, "ash"))),
        "elm": Reply(to_wire(key_of(federation, "elm", epoch=7))),
        "fir": Reply(b"garbage"),
    }
    epoch = keeper(federation, Scripted(answers), []).current(1, least=1)
    assert set(epoch.keys) == {"ash"}


def resigned(federation: SmallFederation, key: EpochKey, **changed: Any) -> EpochKey:
    """A key with other content, signed by its owner."""
    unsigned = replace(key, **changed)
    identity = load_identity(federation.institutions[key.institution] / "keys" / "identity.key")
    return replace(unsigned, signature=sign(identity, epoch_key_bytes(unsigned)))


def test_a_key_that_institutions_would_refuse_is_left_out_although_its_owner_signed_it(federation: SmallFederation) -> None:
    keys = {name: key_of(federation, name) for name in NAMES}
    bad = {
        "birch": resigned(federation, keys["birch"], roster_digest=bytes(32)),
        "cedar": resigned(federation, keys["cedar"], public_key=bytes(32)),
        "elm": resigned(federation, keys["elm"], public_key=keys["ash"].public_key),
        "fir": resigned(federation, keys["fir"], run="other"),
    }
    exchange = Scripted({name: Reply(to_wire(key)) for name, key in (keys | bad).items()})
    events: list[Event] = []
    epoch = keeper(federation, exchange, events).current(1, least=1)
    assert set(epoch.keys) == {"ash"}
    assert events[0].model_dump()["absent"] == ("birch", "cedar", "elm", "fir")


def test_absences_and_refusals_are_told_apart(federation: SmallFederation) -> None:
    answers = {name: Reply(to_wire(key_of(federation, name))) for name in NAMES[:3]}
    exchange = Scripted(answers | {"elm": Absent("asleep"), "fir": Refusal("WrongRoster", "another roster")})
    events: list[Event] = []
    epoch = keeper(federation, exchange, events).current(1, least=3)
    assert epoch.refused == {"fir": "another roster"}
    assert events[0].model_dump()["absent"] == ("elm",)
    assert len(exchange.asked) == 1


def test_the_silent_are_asked_again_after_one_two_and_four_rounds_and_the_refusing_never(federation: SmallFederation) -> None:
    answers = {name: Reply(to_wire(key_of(federation, name))) for name in NAMES[:3]}
    openings: list[int] = []
    for number in range(1, 9):
        current = {name: Reply(to_wire(key_of(federation, name, epoch=len(openings) + 1))) for name in answers}
        exchange = Scripted(current | {"elm": Absent("asleep"), "fir": Refusal("WrongRoster", "another roster")})
        keeper(federation, exchange, []).current(number, least=3)
        openings += [number] * len(exchange.asked)
    assert openings == [1, 3, 7]


def test_one_that_was_away_at_both_openings_is_asked_once_it_is_back(federation: SmallFederation) -> None:
    # As a storm of failures left it: silent in the first epoch, not there in the second, which has too few keys for any round.
    def answers(epoch: int) -> dict[str, Answer]:
        return {name: Reply(to_wire(key_of(federation, name, epoch))) for name in NAMES[:2]}

    class Away(Scripted):
        def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
            yield from super().ask(requests, deadline_s, again)
            self.answers = answers(2)

    epoch = keeper(federation, Away(answers(1) | {"cedar": Absent("asleep")}), []).current(1, least=3)
    assert (epoch.number, set(epoch.keys)) == (2, set(NAMES[:2]))
    back = Scripted(answers(3) | {"cedar": Reply(to_wire(key_of(federation, "cedar", 3)))})
    epoch = keeper(federation, back, []).current(1, least=3)
    assert (epoch.number, set(epoch.keys)) == (3, set(NAMES[:3]))
    assert back.asked == [frozenset(NAMES[:3])]


def test_misses_are_counted_from_the_last_epoch_backwards() -> None:
    epochs = [
        Epoch(1, 1, ("ash", "elm"), "open", {"ash": b"", "elm": b""}),
        Epoch(2, 3, ("ash", "elm"), "open", {"ash": b""}),
        Epoch(3, 5, ("ash", "elm"), "open", {"ash": b""}),
    ]
    assert [misses(epochs, name) for name in ("ash", "elm", "fir")] == [0, 2, 0]
