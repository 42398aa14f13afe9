"""The in-process federation through the two Flower apps, with institutions that vanish on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict

from client.app import make_app
from fedstill.simulation import Drops, Faults, LocalGrid, run_in_process
from server.coordinator import RunResult
from server.events import Event, RoundStarted, RoundVoid, RunFinished
from server.stopping import Interrupted, StopSignal
from tests.support.small import NAMES, SmallToolbox, SmallWorkbench, digest_of, final_vector, make_federation

SECOND_TRAINING_ROUND = 4
EIGHT_BITS = {"width": 8, "rotation": True, "error_feedback": True, "clip_norm": 1.0, "clip_quantile": 0.9}


def run(
    folder: Path,
    count: int = 5,
    *,
    drops: dict[int, frozenset[str]] | None = None,
    vanish: Literal["before", "after"] = "before",
    events: list[Event] | None = None,
    stop: StopSignal | None = None,
    rounds: int = 3,
    client_app: Any = None,
    **aggregation: Any,
) -> RunResult:
    federation = make_federation(folder, count, rounds=rounds, aggregation=aggregation) if not folder.exists() else None
    homes = {name: folder / "institutions" / name for name in NAMES[:count]}
    coordinator = federation.coordinator if federation else folder / "coordinator"
    seen: list[Event] = [] if events is None else events
    return run_in_process(
        coordinator,
        homes,
        "trial",
        on_event=seen.append,
        drops=drops,
        vanish=vanish,
        stop=stop,
        client_app=client_app or make_app(SmallWorkbench),
        toolbox=SmallToolbox(),
    )


class StopAt(list[Event]):
    """Stops a run at the first event of a kind and number."""

    def __init__(self, stop: StopSignal, kind: str, number: int) -> None:
        self._stop, self._kind, self._number = stop, kind, number

    def append(self, event: Event) -> None:
        if event.kind == self._kind and getattr(event, "number", 0) == self._number:
            self._stop.set()


@pytest.mark.parametrize("vanish", ["before", "after"])
def test_a_drop_is_said_and_the_run_goes_on(vanish: Literal["before", "after"], tmp_path: Path) -> None:
    events: list[Event] = []
    result = run(tmp_path / "run", drops={3: frozenset({"elm"})}, vanish=vanish, events=events)
    training = [record for record in result.rounds if record.phase == "train"]
    assert [record.absent for record in training] == [{}, {}, {"elm": "its node went away"}]
    assert len(training[2].survivors) == 4
    assert isinstance(events[-1], RunFinished)


def test_too_many_drops_void_one_round_and_everyone_is_back_for_the_next(tmp_path: Path) -> None:
    events: list[Event] = []
    result = run(tmp_path / "run", drops={2: frozenset({"ash", "fir"})}, events=events)
    assert [event.number for event in events if isinstance(event, RoundVoid)] == [4]
    training = [record for record in result.rounds if record.phase == "train"]
    assert [(record.training_round, record.attempt, record.status) for record in training] == [
        (1, 0, "closed"),
        (2, 0, "void"),
        (2, 1, "closed"),
        (3, 0, "closed"),
    ]
    assert training[2].survivors == NAMES


def test_a_stopped_run_goes_on_to_the_same_student(tmp_path: Path) -> None:
    undisturbed = run(tmp_path / "plain")
    stop = StopSignal()
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", stop=stop, events=StopAt(stop, "round-started", SECOND_TRAINING_ROUND))
    assert digest_of(run(tmp_path / "stopped")) == digest_of(undisturbed)


def test_eight_bits_end_near_the_plain_mean(tmp_path: Path) -> None:
    exact = final_vector(run(tmp_path / "exact", rounds=10))
    defaults = final_vector(run(tmp_path / "defaults", rounds=10, **EIGHT_BITS))
    bare = final_vector(run(tmp_path / "bare", rounds=10, width=8, rotation=False, error_feedback=False))
    error, bare_error = (np.linalg.norm(found - exact) / np.linalg.norm(exact) for found in (defaults, bare))
    assert error < 0.1
    assert error < bare_error / 5, "rotation, error feedback and the clip norm are worth what they cost"


@pytest.mark.parametrize("kind", ["round-started", "institution-answered", "round-closed"])
def test_eight_bits_go_on_to_the_same_student_after_a_cut_and_with_institutions_that_forget(kind: str, tmp_path: Path) -> None:
    undisturbed = run(tmp_path / "plain", rounds=5, **EIGHT_BITS)

    def forgetful(message: Message, context: Context) -> Message:
        return make_app(SmallWorkbench)(message, context)

    stop = StopSignal()
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", rounds=5, stop=stop, events=StopAt(stop, kind, SECOND_TRAINING_ROUND), **EIGHT_BITS)
    assert digest_of(run(tmp_path / "cut", client_app=forgetful)) == digest_of(undisturbed)


def test_drops_belong_to_a_training_round_and_its_first_attempt_only() -> None:
    drops = Drops({1: frozenset({"ash"})}, "after")
    cohort = ("ash", "elm")
    drops.observe(RoundStarted(number=4, phase="train", cohort=cohort, training_round=1))
    assert drops("ash", 4, "train") == "after"
    assert drops("ash", 4, "unmask") is None
    assert drops("elm", 4, "train") is None
    drops.observe(RoundStarted(number=5, phase="train", cohort=cohort, training_round=1, attempt=1))
    assert drops("ash", 5, "train") is None
    drops.observe(RoundStarted(number=1, phase="gate", cohort=cohort))
    assert drops("ash", 1, "train") is None


def test_flower_s_own_send_and_receive_waits_for_replies_and_is_bounded(tmp_path: Path) -> None:
    federation = make_federation(tmp_path / "run", 3, rounds=1)
    faults: Faults = lambda name, number, stage: "before" if name == NAMES[0] else None  # noqa: E731
    grid = LocalGrid(make_app(SmallWorkbench), federation.institutions, faults=faults)
    try:
        payload = RecordDict({"payload": ArrayRecord({"header": Array(dtype="uint8", shape=(1,), stype="fedstill.bytes", data=b"x")})})
        sent = [grid.create_message(payload, "query.open", node, "0") for node in grid.get_node_ids()]
        replies = list(grid.send_and_receive(sent, timeout=60))
    finally:
        grid.close()
    # One vanished, the others refuse what the coordinator did not sign.
    assert sorted(reply.has_error() for reply in replies) == [False, False, True]
    assert all("refusal" in reply.content.config_records for reply in replies if not reply.has_error())
    assert list(grid.send_and_receive([], timeout=0)) == []
