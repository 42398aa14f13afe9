"""Whole federations over packed deltas: what goes down, and what becomes of those who lost a model or a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedstill.simulation import Vanish
from server.coordinator import RunResult
from server.events import Event, RoundClosed
from server.flower import GridExchange
from server.records import RoundRecord
from shared.audit.chain import Entry
from shared.deltas import LEVELS
from shared.exchange import Again, Answer, MessageKind, Request, never_again
from tests.support.audits import audit_of
from tests.support.secagg import flipped
from tests.support.small import NAMES, SmallFederation, SmallToolbox, digest_of, final_vector, make_federation, undisturbed

COHORT = NAMES[:4]
SECOND = 4
"""The number of the second training round, the first that goes down as a delta."""
REALISTIC = 100_000

Sent = dict[tuple[int, str], list[int]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Sizes of all models that go over the exchange, by round and institution."""
    seen: Sent = {}
    plain_ask = GridExchange.ask

    def ask(
        self: GridExchange, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again
    ) -> Iterator[tuple[str, Answer]]:
        def watched(name: str, request: Request | None) -> Request | None:
            if request is not None and request.kind == "train":
                seen.setdefault((request.round, name), []).append(len(request.blob))
            return request

        for name, request in requests.items():
            watched(name, request)
        return plain_ask(self, requests, deadline_s, lambda name, refusal: watched(name, again(name, refusal)))

    monkeypatch.setattr(GridExchange, "ask", ask)
    return seen


def models(sent: Sent, number: int) -> list[list[int]]:
    return [sizes for (asked, _), sizes in sorted(sent.items()) if asked == number]


def training(result: RunResult) -> list[RoundRecord]:
    return [record for record in result.rounds if record.phase == "train"]


def whole_bytes(result: RunResult) -> int:
    return next(result.folder.glob("student-v*.safetensors")).stat().st_size


def test_the_first_goes_whole_then_deltas_and_what_is_held_does_not_go_again(tmp_path: Path, sent: Sent) -> None:
    result = make_federation(tmp_path, 4, rounds=3).run()
    whole = whole_bytes(result)
    assert models(sent, 3) == [[whole]] * 4
    for number in (4, 5, 6):
        assert all(0 < sizes[0] < whole and len(sizes) == 1 for sizes in models(sent, number)), number
    assert result.rounds[5].phase == "calibrate-range"
    assert models(sent, 7) == [[0]] * 4, "both calibrations carry the same student"
    assert len(list(result.folder.glob("student-v*.delta"))) == 2, "old ones are cleaned up"


def test_a_student_of_a_realistic_size_costs_less_than_a_byte_a_parameter_after_the_first_round(tmp_path: Path) -> None:
    result = make_federation(tmp_path, 4, rounds=4).run(toolbox=SmallToolbox(REALISTIC))
    first, *others = training(result)
    assert min(first.bytes_down.values()) > 4 * REALISTIC
    for record in (*others, result.rounds[-3], result.rounds[-2]):
        assert 0 < max(record.bytes_down.values()) <= REALISTIC, record.phase


def test_in_full_mode_every_round_carries_the_whole_student(tmp_path: Path, sent: Sent) -> None:
    federation = make_federation(tmp_path, 4, rounds=3, aggregation={"downlink": "full"})
    result = federation.run()
    for number in (3, 4, 5, 6, 7):
        assert models(sent, number) == [[whole_bytes(result)]] * 4
    assert list(result.folder.glob("*.delta")) == []


def test_full_and_delta_end_about_half_a_step_apart(tmp_path: Path) -> None:
    full, delta = (
        final_vector(make_federation(tmp_path / mode, 4, rounds=3, aggregation={"downlink": mode}).run()) for mode in ("full", "delta")
    )
    # The largest change of a round is the first, about half of the largest coordinate that comes out.
    assert 0 < np.abs(full - delta).max() < np.abs(full).max() / LEVELS


@pytest.mark.parametrize("vanish", ["before", "after"])
def test_who_missed_a_round_gets_the_whole_in_the_next(vanish: Vanish, tmp_path: Path, sent: Sent) -> None:
    def faults(institution: str, number: int, stage: MessageKind) -> Vanish:
        return vanish if (institution, number, stage) == ("birch", SECOND, "train") else None

    result = make_federation(tmp_path, 4, rounds=3).run(faults=faults)
    assert sent[SECOND + 1, "birch"] == [whole_bytes(result)]
    assert sent[SECOND + 1, "ash"][0] < whole_bytes(result)
    assert result.rounds[SECOND].survivors == COHORT


def test_who_lost_the_model_is_asked_again_in_the_same_stage_and_nothing_is_void(tmp_path: Path, sent: Sent) -> None:
    federation = make_federation(tmp_path, 4)

    def lose(event: Event) -> None:
        if isinstance(event, RoundClosed) and event.number == SECOND - 1:
            (federation.institutions["cedar"] / "state" / "model.safetensors").unlink()

    result = federation.run(watch=lose)
    delta, whole = sent[SECOND, "cedar"]
    assert delta < whole == whole_bytes(result)
    record = result.rounds[SECOND - 1]
    assert (record.survivors, record.refused, record.status) == (COHORT, {}, "closed")
    assert record.bytes_down["cedar"] > record.bytes_down["ash"] + whole
    assert digest_of(result) == undisturbed(4, 2)
    assert [entry.fields["stage"] for entry in refusals(federation, "cedar")] == ["train"]


def refusals(federation: SmallFederation, name: str) -> list[Entry]:
    return [entry for entry in audit_of(federation.institutions[name]) if entry.kind == "refused"]


def test_a_delta_damaged_on_its_way_is_refused_and_sent_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_ask = GridExchange.ask

    def ask(
        self: GridExchange, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again
    ) -> Iterator[tuple[str, Answer]]:
        damaged = {
            name: replace(request, blob=flipped(request.blob, 900)) if is_delta(request) else request for name, request in requests.items()
        }
        return plain_ask(self, damaged, deadline_s, again)

    def is_delta(request: Request) -> bool:
        return request.blob.startswith(b"FSDELTA")

    monkeypatch.setattr(GridExchange, "ask", ask)
    federation = make_federation(tmp_path, 4)
    result = federation.run()
    assert digest_of(result) == undisturbed(4, 2)
    assert {entry.fields["code"] for entry in refusals(federation, "ash")} == {"ForgedMessage"}


def test_a_round_trained_anew_sends_nothing_to_those_who_hold_its_model(tmp_path: Path, sent: Sent) -> None:
    def faults(institution: str, number: int, stage: MessageKind) -> Vanish:
        return "before" if number == SECOND and stage == "train" and institution in ("ash", "elm") else None

    result = make_federation(tmp_path, 4).run(faults=faults)
    assert [record.status for record in training(result)] == ["closed", "void", "closed"]
    assert {name: sent[SECOND + 1, name] == [0] for name in COHORT} == {"ash": False, "birch": True, "cedar": True, "elm": False}
    assert max(sent[SECOND + 1, "ash"]) < whole_bytes(result), "they still hold the one before"
