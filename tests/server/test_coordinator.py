"""Whole federations in this process: what a run gives, and that nothing which happens to it changes that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message
from numpy.typing import NDArray

import server.cohort
from client.app import make_app
from fedstill.simulation import Vanish
from server.events import EpochOpened, Event, InstitutionAbsent, InstitutionRefused, RoundClosed, RoundVoid, RunStopped
from server.locking import run_lock
from server.site import CoordinatorSite
from server.stopping import Interrupted, StopSignal
from shared.errors import RunError
from shared.exchange import MessageKind
from tests.support.small import (
    NAMES,
    SIZE,
    SmallFederation,
    SmallWorkbench,
    digest_of,
    final_vector,
    make_federation,
    records_of,
    small_update,
    undisturbed,
)

FIRST_TRAINING_ROUND = 3
"""After the two rounds of statistics."""


def plain_run(names: tuple[str, ...], rounds: dict[int, tuple[str, ...]], clip: float = 3.0) -> NDArray[np.float64]:
    """The same training without masks, ring or wire: weighted means in float64. ``rounds`` maps numbers to survivors."""
    cap = int(np.ceil(2 * np.mean([records_of(name) for name in names])))
    vector = np.zeros(SIZE, np.float32)
    for number, survivors in rounds.items():
        weights = np.array([min(records_of(name), cap) for name in survivors], np.float64)
        updates = np.array([small_update(name, vector, number) for name in survivors], np.float64)
        updates *= np.minimum(1.0, clip / np.linalg.norm(updates, axis=1))[:, None]
        vector = (vector.astype(np.float64) + weights @ updates / weights.sum()).astype(np.float32)
    return vector.astype(np.float64)


def encoding_error(cohort: int, rounds: int, clip: float = 3.0) -> float:
    """At most one ring step an institution and round, divided by the mean's weight share (at least a quarter here)."""
    step = clip / (32767 // cohort - 1)
    return 4 * step * rounds


@pytest.fixture
def federation(tmp_path: Path) -> SmallFederation:
    return make_federation(tmp_path, 4, rounds=2)


@pytest.mark.parametrize("count", [3, 5])
def test_a_run_gives_the_plain_weighted_mean(count: int, tmp_path: Path) -> None:
    names = NAMES[:count]
    result = make_federation(tmp_path, count, rounds=3).run()
    expected = plain_run(names, {3: names, 4: names, 5: names})
    assert np.abs(final_vector(result) - expected).max() < encoding_error(count, 3)
    assert [record.phase for record in result.rounds] == [
        "statistics-range",
        "statistics-moments",
        *["train"] * 3,
        "calibrate-range",
        "calibrate-histogram",
        "gate",
    ]
    assert result.rounds[2].metrics["accuracy"] == pytest.approx(1 - 5 * count / sum(map(records_of, names)))
    assert result.rounds[0].counters["exponents"] == (sum(map(records_of, names)),) * 128
    assert json.loads((result.artifact / "manifest.json").read_text())["version"] == 3


def test_the_same_federation_with_other_keys_gives_the_same_bits(tmp_path: Path) -> None:
    assert digest_of(make_federation(tmp_path).run()) == undisturbed(4, 2)


@pytest.mark.parametrize("stage", ["train", "unmask"])
@pytest.mark.parametrize("vanish", ["before", "after"])
def test_one_institution_may_vanish_at_any_exchange(stage: MessageKind, vanish: Vanish, federation: SmallFederation) -> None:
    def faults(institution: str, number: int, asked: MessageKind) -> Vanish:
        return vanish if (institution, number, asked) == ("birch", FIRST_TRAINING_ROUND, stage) else None

    events: list[Event] = []
    result = federation.run(faults=faults, events=events)
    names = NAMES[:4]
    left = tuple(name for name in names if name != "birch") if stage == "train" else names
    assert result.rounds[2].survivors == left
    assert [event.institution for event in events if isinstance(event, InstitutionAbsent)] == ["birch"]
    assert result.rounds[3].survivors == names, "it is asked again in the next round"
    expected = plain_run(names, {3: left, 4: names})
    assert np.abs(final_vector(result) - expected).max() < encoding_error(4, 2)


def test_losing_one_at_train_and_another_at_agree_still_closes_a_larger_cohort(tmp_path: Path) -> None:
    def faults(institution: str, number: int, asked: MessageKind) -> Vanish:
        lost = {("ash", "train"), ("fir", "agree")}
        return "before" if number == FIRST_TRAINING_ROUND and (institution, asked) in lost else None

    result = make_federation(tmp_path, 5, aggregation={"collusion": 0, "smallest_cohort": 3}, policy={"collusion": 0}).run(faults=faults)
    assert result.rounds[2].status == "closed"
    assert result.rounds[2].survivors == ("birch", "cedar", "elm", "fir")


def test_two_lost_of_five_void_the_round_and_the_run_goes_on(tmp_path: Path) -> None:
    def faults(institution: str, number: int, asked: MessageKind) -> Vanish:
        return "before" if number == FIRST_TRAINING_ROUND and institution in ("ash", "elm") else None

    events: list[Event] = []
    result = make_federation(tmp_path, 5).run(faults=faults, events=events)
    (void,) = [event for event in events if isinstance(event, RoundVoid)]
    assert void.number == FIRST_TRAINING_ROUND
    assert void.absent == ("ash", "elm")
    assert "3 of 5 answered" in void.reason
    assert [(record.number, record.training_round, record.attempt) for record in result.rounds if record.phase == "train"] == [
        (3, 1, 0),
        (4, 1, 1),
        (5, 2, 0),
    ]
    expected = plain_run(NAMES, {4: NAMES, 5: NAMES})
    assert np.abs(final_vector(result) - expected).max() < encoding_error(5, 2)


def test_too_many_void_rounds_in_a_row_end_the_run_with_names_and_it_can_go_on(federation: SmallFederation) -> None:
    def faults(institution: str, number: int, asked: MessageKind) -> Vanish:
        return "before" if number >= FIRST_TRAINING_ROUND and institution in ("ash", "elm") else None

    with pytest.raises(RunError, match=r"3 void rounds in a row; missing in the last: ash, elm"):
        federation.run(faults=faults)
    result = federation.run()
    expected = plain_run(NAMES[:4], {6: NAMES[:4], 7: NAMES[:4]})
    assert np.abs(final_vector(result) - expected).max() < encoding_error(4, 2)


def test_a_forged_answer_counts_as_its_sender_s_absence(federation: SmallFederation) -> None:
    honest = make_app(SmallWorkbench)

    def forging(message: Message, context: Context) -> Message:
        reply = honest(message, context)
        training = message.metadata.message_type == "train" and message.metadata.group_id == str(FIRST_TRAINING_ROUND)
        if training and str(context.node_config["institution-dir"]).endswith("cedar"):
            payload = reply.content.config_records["payload"]
            blob = payload["blob"]
            assert isinstance(blob, bytes)
            payload["blob"] = bytes([blob[0] ^ 1]) + blob[1:]
        return reply

    result = federation.run(client_app=forging)
    assert "cedar" in result.rounds[2].absent
    assert "cannot be used" in result.rounds[2].absent["cedar"]
    assert result.rounds[2].survivors == ("ash", "birch", "elm")


def test_a_refusal_is_told_in_the_institution_s_own_words(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4)
    home = federation.institutions["elm"] / "institution.toml"
    home.write_text(home.read_text().replace("smallest_cohort = 3", "smallest_cohort = 5"))
    events: list[Event] = []
    result = federation.run(events=events)
    refused = [event for event in events if isinstance(event, InstitutionRefused)]
    assert {event.institution for event in refused} == {"elm"}
    sentence = "institution 'elm' refused round 3: cohort of 4 is below its own smallest cohort 5 (policy.smallest_cohort)"
    assert result.rounds[2].refused == {"elm": sentence}
    assert result.rounds[2].survivors == ("ash", "birch", "cedar")


def test_an_institution_that_lost_its_memory_gets_a_new_epoch(federation: SmallFederation) -> None:
    def forget(event: Event) -> None:
        if isinstance(event, RoundClosed) and event.number == FIRST_TRAINING_ROUND - 1:
            (federation.institutions["cedar"] / "state" / "ledger.sqlite").unlink()

    events: list[Event] = []
    result = federation.run(watch=forget, events=events)
    assert [event.epoch for event in events if isinstance(event, EpochOpened)] == [1, 2]
    assert result.rounds[2].lost_epoch == ("cedar",)
    assert result.rounds[2].survivors == ("ash", "birch", "elm")
    assert result.rounds[3].survivors == NAMES[:4]


def test_an_epoch_with_too_few_keys_is_opened_again(federation: SmallFederation) -> None:
    seen: list[str] = []

    def faults(institution: str, number: int, asked: MessageKind) -> Vanish:
        seen.append(institution) if asked == "open" else None
        return "before" if asked == "open" and institution != "ash" and seen.count(institution) == 1 else None

    events: list[Event] = []
    result = federation.run(faults=faults, events=events)
    assert [event.members for event in events if isinstance(event, EpochOpened)] == [("ash",), NAMES[:4]]
    assert result.rounds[0].survivors == NAMES[:4]


def test_a_member_that_comes_later_takes_part_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.cohort, "PATIENCE_S", 0.0)
    federation = make_federation(tmp_path, 4)
    stop = StopSignal()

    def stop_after_statistics(event: Event) -> None:
        if isinstance(event, RoundClosed) and event.number == FIRST_TRAINING_ROUND - 1:
            stop.set()

    early = SmallFederation(federation.coordinator, {name: federation.institutions[name] for name in NAMES[:3]})
    with pytest.raises(Interrupted):
        early.run(stop=stop, watch=stop_after_statistics)
    result = federation.run()
    assert result.rounds[0].survivors == NAMES[:3]
    assert result.rounds[2].survivors == NAMES[:4]
    assert result.rounds[2].epoch == 2


@pytest.mark.parametrize("kind", ["round-started", "institution-answered", "round-closed", "phase-started"])
def test_a_stopped_run_keeps_its_closed_rounds_and_ends_with_the_same_student(kind: str, tmp_path: Path) -> None:
    federation, stop, events = make_federation(tmp_path), StopSignal(), list[Event]()

    def stop_in_training(event: Event) -> None:
        if event.kind == kind and getattr(event, "number", 3) == FIRST_TRAINING_ROUND and getattr(event, "phase", "train") == "train":
            stop.set()

    with pytest.raises(Interrupted) as caught:
        federation.run(stop=stop, watch=stop_in_training, events=events)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert isinstance(events[-1], RunStopped)
    assert digest_of(federation.run()) == undisturbed(4, 2)


def test_a_finished_run_is_given_again_without_asking_anyone(federation: SmallFederation) -> None:
    first = federation.run()

    def never(*_: object) -> Vanish:
        raise AssertionError("nobody may be asked")

    assert federation.run(faults=never) == first


def test_a_run_does_not_go_on_with_another_configuration(federation: SmallFederation) -> None:
    federation.run()
    path = federation.coordinator / "federation.toml"
    path.write_text(path.read_text().replace("deadline_s = 20.0", "deadline_s = 21.0"))
    federation.run()
    path.write_text(path.read_text().replace("rounds = 2", "rounds = 3"))
    with pytest.raises(RunError, match=r"begun with another federation\.toml"):
        federation.run()
    assert federation.run("other").rounds[-1].number == 8


def test_one_coordinator_at_a_time(federation: SmallFederation) -> None:
    with (
        run_lock(CoordinatorSite(federation.coordinator).run_folder("trial"), "trial"),
        pytest.raises(RunError, match="being run by another process"),
    ):
        federation.run()


def test_an_institution_with_a_fragment_moves_only_its_part(tmp_path: Path) -> None:
    """``ash`` trains the first half alone: the second half is the mean of the other three."""
    federation = make_federation(tmp_path, 4, rounds=1, fragments={"ash": ["first.*"]})
    result = federation.run()
    names, half = NAMES[:4], SIZE // 2
    cap = int(np.ceil(2 * sum(map(records_of, names)) / 4))
    updates = {name: small_update(name, np.zeros(SIZE, np.float32), 3) for name in names}
    weights = {name: min(records_of(name), cap) for name in names}
    first = np.average([updates[name][:half] for name in names], axis=0, weights=[weights[name] for name in names])
    second = np.average([updates[name][half:] for name in names[1:]], axis=0, weights=[weights[name] for name in names[1:]])
    assert np.allclose(final_vector(result), np.concatenate([first, second]), atol=2e-3)
