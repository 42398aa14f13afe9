"""What a coordinator asks is within its own plan, in every phase of every kind of run; whatever is beyond it is named."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from client.beyond import beyond
from server.phases import PHASES, first_state
from server.privacy import PrivacyPlanner
from shared.config import PrivacySettings
from shared.knowledge.builtin import MAPPINGS
from shared.secagg.messages import Plan
from shared.secagg.roster import Roster
from shared.signed import make_plan
from shared.work import AnswerWork, EntitiesWork, LearningWork, TrainWork, Work
from tests.client.test_approval import PLAN
from tests.server.test_answers import PROXY
from tests.server.test_entities import SHARING
from tests.server.test_knowledge import KNOWLEDGE
from tests.server.test_phases import kit, sums_for

GENERATED = {"source": "generated", "records": 10, "missing": 0.1}
TABLE = {"columns": [{"kind": "range", "column": "age", "edges": [50.0], "entities": ["", "old"]}], "classes": {"yes": "ill"}}
RUNS: dict[str, dict[str, Any]] = {
    "weights": {},
    "answers": {"proxy": PROXY},
    "generated": {"proxy": GENERATED},
    "knowledge": {"knowledge": KNOWLEDGE},
    "own-knowledge": {"knowledge": {"mapping": TABLE, "embeddings": {"width": 8}}},
    "shared-entities": {"knowledge": SHARING},
    "pruned": {"compression": {"prune": 0.5, "healing_rounds": 2}},
    "quantised": {"compression": {"quantisation_aware": 3}, "knowledge": KNOWLEDGE},
}


def settings(**changed: Any) -> dict[str, Any]:
    """Those of the plan that a federation signs."""
    return make_plan("trial-1", kit(**changed).config, Roster(members={"va": bytes(32)}, coordinator=bytes(32))).settings


def works(**changed: Any) -> list[Work]:
    """What the coordinator asks in each round of a run."""
    used, asked = kit(**changed), list[Work]()
    state = first_state(used.config)
    while state.facts.phase in PHASES:
        asked.append(PHASES[state.facts.phase].ask(state, used).work)
        state = PHASES[state.facts.phase].apply(state, sums_for(state, used), used)
    return asked


def found(settings: dict[str, Any], work: Work, plan: Plan = PLAN) -> list[str]:
    return list(beyond(settings, plan, work))


@pytest.mark.parametrize("kind", RUNS)
def test_no_round_of_a_run_is_beyond_its_own_plan(kind: str) -> None:
    approved, asked = settings(**RUNS[kind]), works(**RUNS[kind])
    assert any(isinstance(work, LearningWork) for work in asked)
    assert [found(approved, work) for work in asked] == [[]] * len(asked)


@pytest.mark.parametrize(
    ("approved", "asked", "words"),
    [
        ("weights", "answers", "weights or answers"),
        ("answers", "weights", "weights or answers"),
        ("answers", "generated", "[proxy] is another"),
        ("generated", "answers", "[proxy] is another"),
        ("weights", "knowledge", "[knowledge] is another"),
        ("knowledge", "weights", "[knowledge] is another"),
        ("knowledge", "own-knowledge", "[knowledge] is another"),
        ("knowledge", "shared-entities", "[knowledge] is another"),
        ("shared-entities", "knowledge", "[knowledge] is another"),
        ("weights", "pruned", "update 3 is one more"),
        ("pruned", "quantised", "update 5 is one more"),
    ],
)
def test_a_round_of_another_kind_of_run_is_beyond_it(approved: str, asked: str, words: str) -> None:
    said = [line for work in works(**RUNS[asked]) for line in found(settings(**RUNS[approved]), work)]
    assert any(words in line for line in said)


@pytest.mark.parametrize("change", [{"weight": 9.0}, {"temperature": 9.0}, {"bound": 9.0}])
def test_terms_of_answers_are_compared(change: dict[str, Any]) -> None:
    (work, *_) = [work for work in works(proxy=PROXY | change) if isinstance(work, AnswerWork)]
    assert found(settings(proxy=PROXY), work) == ["[proxy] is another"]


@pytest.mark.parametrize("change", [{"records": 11}, {"missing": 0.0}])
def test_generated_records_are_as_many_and_as_whole(change: dict[str, Any]) -> None:
    (work, *_) = [work for work in works(proxy=GENERATED) if isinstance(work, AnswerWork)]
    assert found(settings(proxy=GENERATED), work.model_copy(update=change)) == ["[proxy] is another"]


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 9.0},
        {"imagined": 9},
        {"classes": "even"},
        {"mapping": {**TABLE, "classes": {"no": "ill"}}},
        {"embeddings": {"width": 8, "record_weight": 1.0}},
    ],
)
def test_terms_of_knowledge_and_how_records_name_its_entities_are_compared(change: dict[str, Any]) -> None:
    (work, *_) = [work for work in works(knowledge=KNOWLEDGE | change) if isinstance(work, TrainWork)]
    assert found(settings(knowledge=KNOWLEDGE), work) == ["[knowledge] is another"]


def test_the_mapping_of_a_built_in_graph_is_known_here() -> None:
    (work, *_) = [work for work in works(knowledge=KNOWLEDGE) if isinstance(work, TrainWork)]
    builtin = settings(knowledge=KNOWLEDGE)
    builtin["knowledge"] = {name: value for name, value in builtin["knowledge"].items() if name != "mapping"} | {"builtin": "heart"}
    assert found(builtin, work) == ["[knowledge] is another"]
    assert isinstance(work, TrainWork)
    assert work.knowledge is not None
    heart = hashlib.sha256(MAPPINGS["heart"].canonical()).hexdigest()
    knowledge = work.knowledge.model_copy(update={"mapping_sha256": heart})
    assert found(builtin, work.model_copy(update={"knowledge": knowledge})) == []


def test_shared_slots_are_as_many() -> None:
    assert found(settings(knowledge=SHARING), EntitiesWork(slots=128)) == ["[knowledge] is another"]
    assert found(settings(knowledge=KNOWLEDGE), EntitiesWork(slots=64)) == ["[knowledge] is another"]
    assert found(settings(), EntitiesWork(slots=64)) == ["[knowledge] is another"]


def test_a_round_that_is_not_quantised_cannot_leave_knowledge_out() -> None:
    learning = [work for work in works(knowledge=KNOWLEDGE) if isinstance(work, TrainWork)]
    assert found(settings(knowledge=KNOWLEDGE), learning[0].model_copy(update={"knowledge": None})) == ["[knowledge] is another"]


PRIVATE: dict[str, Any] = {"privacy": {"epsilon": 8.0, "delta": 1e-5}}
WIDE = replace(PLAN, layout=replace(PLAN.layout, update_words=500, width=32), rotation=True)


def noised(plan: Plan, rounds: int, epsilon: float = 8.0) -> Plan:
    """The plan as a coordinator makes it that spreads the budget over ``rounds``."""
    return PrivacyPlanner(PrivacySettings(epsilon=epsilon), rounds).noised(plan)


@pytest.mark.parametrize("more", [{}, {"compression": {"prune": 0.5, "healing_rounds": 2}}])
def test_noise_is_what_the_budget_shared_among_the_updates_needs(more: dict[str, Any]) -> None:
    used = kit(**PRIVATE, **more).config
    (work, *_) = [work for work in works(**PRIVATE, **more) if isinstance(work, TrainWork)]
    right = noised(WIDE, used.update_rounds)
    assert found(settings(**PRIVATE, **more), work, right) == []
    for less in (
        WIDE,
        replace(right, count_noise=0.0),
        replace(right, noise=0.99 * right.noise),
        replace(right, count_noise=right.count_noise / 2),
        noised(WIDE, used.update_rounds - 1),
        noised(WIDE, used.update_rounds, epsilon=9.0),
    ):
        (line,) = found(settings(**PRIVATE, **more), work, less)
        assert line.startswith("the noise")
        assert line.endswith("less")
    assert found(settings(**more), work, WIDE) == [], "none was promised"


def test_only_updates_carry_noise() -> None:
    counting = [work for work in works(**PRIVATE) if not isinstance(work, LearningWork)]
    assert [found(settings(**PRIVATE), work) for work in counting] == [[]] * len(counting)
