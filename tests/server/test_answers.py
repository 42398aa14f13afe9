"""Rounds of answers at the coordinator: what is asked, what the sum becomes, and the student at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from benchmarks.averaging import RingAveraging
from client.app import make_app as make_client_app
from fedstill.simulation import Vanish
from server.events import Event, PhaseStarted
from server.phases import PHASES, Kit, end_training
from server.state import RunState
from shared.answers import bounded, flattened, inputs_digest, table_of
from shared.config import FederationConfig
from shared.deltas import patched
from shared.errors import RunError
from shared.exchange import MessageKind
from shared.privacy.rounds import round_cost
from shared.rpc.codec import from_wire
from shared.secagg.encoding import threshold_for
from shared.secagg.messages import Layout, Plan, TrainRequest
from shared.work import AnswerWork, Normalisation, Work, counter_fields, parse_work, trains
from tests.server.test_phases import kit, play, sums_for
from tests.support.small import (
    SIZE,
    SmallContribution,
    SmallFederation,
    SmallToolbox,
    SmallWorkbench,
    digest_of,
    federation_table,
    final_vector,
    make_federation,
    records_of,
)

PROXY = {"source": "records", "path": "public.npz", "weight": 0.5, "temperature": 3.0, "bound": 5.0}
RECORDS = 10
WIDE = {"width": 16, "depth": 2}


def answering(**changed: Any) -> Kit:
    return kit(proxy=PROXY, student=WIDE, **changed)


def states(used: Kit) -> list[RunState]:
    """The state before each training round."""
    return [state for _, state in play(used) if state.facts.phase == "train"]


def test_a_round_asks_for_answers_and_carries_consensus_and_records() -> None:
    used = answering()
    state = states(used)[0]
    asked = PHASES["train"].ask(state, used)
    raw = SmallToolbox().proxy(Normalisation())
    assert isinstance(asked.work, AnswerWork)
    assert (asked.work.records, asked.work.proxy_sha256, asked.work.generated) == (RECORDS, inputs_digest(raw), False)
    assert asked.work.proxy.model_dump() == {"weight": 0.5, "temperature": 3.0, "bound": 5.0}
    assert (asked.update_words, asked.weight_cap, asked.blob_name) == (2 * RECORDS, 60, "consensus-v00000.safetensors")
    found = load(asked.blob)
    assert found["inputs"].tobytes() == raw.tobytes()
    np.testing.assert_array_equal(found["vector"], np.zeros(2 * RECORDS))


def test_generated_records_do_not_travel() -> None:
    used = kit(proxy={"source": "generated", "records": RECORDS})
    asked = PHASES["train"].ask(states(used)[0], used)
    assert isinstance(asked.work, AnswerWork)
    assert asked.work.generated
    assert list(load(asked.blob)) == ["vector"]


def test_the_next_consensus_travels_as_a_delta_and_the_records_with_the_first_alone() -> None:
    used = answering()
    first, second = (PHASES["train"].ask(state, used) for state in states(used))
    assert second.blob_name == "consensus-v00001.safetensors"
    assert patched(first.blob, second.delta) == second.blob
    np.testing.assert_allclose(load(second.blob)["vector"], 0.5, rtol=1e-6)


def test_the_last_round_ends_with_the_student_of_the_consensus_which_is_new_to_everyone() -> None:
    used = answering()
    history = play(used)
    assert [phase for phase, _ in history][2:] == ["train", "train", "calibrate-range", "calibrate-histogram", "gate"]
    last = history[3][1]
    # Two rounds of 0.5 each, as logits: what the small toolbox's student has learnt by heart.
    np.testing.assert_allclose(last.vector, np.sqrt(2 * RECORDS), rtol=1e-5)
    assert (last.delta, last.moments, last.residual.size, last.facts.version) == (b"", {}, 0, 2)
    for phase in ("calibrate-range", "calibrate-histogram"):
        asked = PHASES["calibrate-range"].ask(last, used)
        assert asked.blob_name == "student-v00002.safetensors", phase
        assert asked.work.student == used.config.student  # type: ignore[union-attr]
    assert PHASES["calibrate-range"].ask(play(kit())[3][1], kit()).work.student is None  # type: ignore[union-attr]


def test_a_spent_budget_ends_with_the_student_of_the_consensus_so_far() -> None:
    used = answering()
    ended = end_training(states(used)[1], used)
    assert (ended.facts.phase, ended.facts.version) == ("calibrate-range", 1)
    np.testing.assert_allclose(ended.vector, 0.5 * np.sqrt(2 * RECORDS), rtol=1e-5)


def test_other_proxy_records_than_at_the_beginning_stop_the_run() -> None:
    used = answering()
    other = Kit(used.config, SmallToolbox(proxy_records=RECORDS + 1))
    for action in (PHASES["train"].ask, end_training):
        with pytest.raises(RunError, match="the proxy records are others than when the run began"):
            action(states(used)[0], other)


# Whole runs


@dataclass
class Answering:
    """An institution that gives a table of its own each time, through the true encoding."""

    table: Callable[[str], NDArray[np.float32]]

    def app(self) -> Any:
        def workbench(site: Any) -> Any:
            small = SmallWorkbench(site)
            perform = small.perform

            def performed(work: Work, blob: bytes, round_number: int) -> SmallContribution:
                done = perform(work, blob, round_number)
                if not trains(work):
                    return done
                return replace(done, update=flattened(self.table(small.name)) - load(blob)["vector"])

            small.perform = performed  # type: ignore[method-assign]
            return small

        return make_client_app(workbench)


def table(seed: int) -> NDArray[np.float32]:
    return bounded(np.random.default_rng(seed).normal(0, 2, (RECORDS, 2)).astype(np.float32), 8.0)


def federation(folder: Path, **changed: Any) -> SmallFederation:
    return make_federation(folder, 4, proxy=PROXY | {"path": str(folder / "public.npz")}, **changed)


def test_the_consensus_of_equal_institutions_is_what_each_answers(tmp_path: Path) -> None:
    result = federation(tmp_path, rounds=1).run(client_app=Answering(lambda name: table(1)).app())
    np.testing.assert_allclose(final_vector(result).reshape(RECORDS, 2), table(1), rtol=2e-2, atol=2e-2)


def test_the_consensus_is_the_mean_weighted_by_records(tmp_path: Path) -> None:
    tables = {"ash": table(1), "birch": table(2), "cedar": table(3), "elm": table(4)}
    small = federation(tmp_path, rounds=3, optimizer={"name": "fedavg", "learning_rate": 1.0})
    result = small.run(client_app=Answering(lambda name: tables[name]).app())
    expected = np.average(list(tables.values()), axis=0, weights=[records_of(name) for name in tables])
    np.testing.assert_allclose(final_vector(result).reshape(RECORDS, 2), expected, rtol=1e-3, atol=1e-3)


def test_a_run_of_answers_trains_evaluates_and_publishes(tmp_path: Path) -> None:
    events: list[Event] = []
    small = federation(tmp_path, rounds=2)
    result = small.run(events=events)
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert phases == ["statistics-range", "statistics-moments", "train", "calibrate-range", "calibrate-histogram", "gate", "publish"]
    assert [record.status for record in result.rounds] == ["closed"] * 7
    assert final_vector(result).size == 2 * RECORDS
    first, second = (record.bytes_down["ash"] for record in result.rounds if record.training_round)
    assert second < first, "the records travel once"
    assert list(result.folder.glob("consensus-v*.safetensors"))


def test_who_vanishes_and_comes_back_is_sent_the_whole_and_the_run_ends(tmp_path: Path) -> None:
    def faults(institution: str, number: int, stage: MessageKind) -> Vanish:
        return "after" if (institution, number, stage) == ("elm", 4, "train") else None

    result = federation(tmp_path, rounds=3).run(faults=faults)
    lost = next(record for record in result.rounds if record.number == 4)
    assert lost.survivors == ("ash", "birch", "cedar")
    assert result.rounds[-1].phase == "gate"


class Dying(SmallToolbox):
    """A coordinator that dies while it distils its student."""

    def distilled(self, normalisation: Normalisation, consensus: NDArray[np.float32]) -> NDArray[np.float32]:
        raise SystemError("killed")


def test_killed_while_it_distils_the_coordinator_ends_with_the_same_student(tmp_path: Path) -> None:
    expected = digest_of(federation(tmp_path / "a", rounds=2).run())
    small = federation(tmp_path / "b", rounds=2)
    with pytest.raises(SystemError, match="killed"):
        small.run(toolbox=Dying())
    result = small.run()
    assert digest_of(result) == expected
    assert [record.status for record in result.rounds] == ["closed"] * 7, "no round was trained anew"


def test_noise_is_drawn_and_accounted_for_answers_as_for_weights(tmp_path: Path) -> None:
    small = federation(tmp_path, rounds=2, privacy={"epsilon": 50.0}, aggregation={"width": 32, "rotation": True})
    result = small.run()
    from server.site import CoordinatorSite

    stored = [each for each in CoordinatorSite(small.coordinator).store.rounds("trial") if each.record.phase == "train"]
    assert len(stored) == 2
    for each in stored:
        plan = from_wire(TrainRequest, each.plan).plan
        assert isinstance(parse_work(plan.body), AnswerWork)
        assert plan.noise > 0
        assert each.record.rho == pytest.approx(round_cost(plan, plan.collusion, plan.smallest_cohort))
    assert result.rounds[-1].phase == "gate"


# The sum


def test_the_order_of_institutions_does_not_matter() -> None:
    config = FederationConfig.model_validate(federation_table(2) | {"proxy": PROXY, "aggregation": {}})
    used = Kit(config, SmallToolbox())
    asked = PHASES["train"].ask(states(used)[0], used)
    cohort = ("ash", "birch", "cedar")
    fields = counter_fields(asked.work, config.task)
    length = sum(field.length for field in fields)
    plan = Plan(
        run="trial",
        epoch=1,
        round=3,
        roster_digest=bytes(32),
        keys_digest=bytes(32),
        cohort=cohort,
        threshold=threshold_for(3, 1),
        share_threshold=threshold_for(3, 1),
        collusion=1,
        layout=Layout(update_words=asked.update_words, counters=length, width=8),
        clip_norm=3.0,
        rotation=True,
        weight_cap=asked.weight_cap,
        body=asked.work.canonical(),
        blob_digest=hashlib.sha256(asked.blob).digest(),
    )
    done = {name: SmallContribution(flattened(table(place)), 20, np.ones(length, np.int64)) for place, name in enumerate(cohort)}
    one = RingAveraging()(plan, asked.work, done, config)
    other = RingAveraging()(plan, asked.work, dict(reversed(done.items())), config)
    assert one.mean.tobytes() == other.mean.tobytes()
    # In a ring of 8 bits the table is off by less than a step.
    gap = table_of(one.mean.astype(np.float32), 2) - np.mean([table(place) for place in range(3)], axis=0)
    assert np.abs(gap).max() < 1.0


def test_the_small_student_is_another_than_the_consensus() -> None:
    assert SIZE != 2 * RECORDS
    assert sums_for(states(answering())[0], answering()).mean.size == 2 * RECORDS
