"""A public graph in a run: before every model that goes down, bound by its digest, once over the wire, and its trust in the figures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from safetensors.numpy import load

from server.phases import PHASES, Kit
from server.state import RunState
from shared.attached import sized_content
from shared.deltas import patched
from shared.errors import RunError
from shared.knowledge.linking import parse_mapping
from shared.work import FIXED_POINT, AnswerWork, TrainWork
from tests.server.test_phases import kit, play, sums_for
from tests.support.small import SmallToolbox

MAPPING = {"classes": {"yes": "ill"}, "columns": [{"kind": "range", "column": "age", "edges": [50.0], "entities": ["", "old"]}]}
KNOWLEDGE = {"path": "graph.tsv", "mapping": MAPPING, "weight": 2.0, "imagined": 5}


def knowing(**changed: Any) -> Kit:
    return kit(knowledge=KNOWLEDGE, **changed)


def states(used: Kit) -> list[RunState]:
    return [state for _, state in play(used) if state.facts.phase in ("train", "calibrate-range")]


def test_the_plan_names_the_graph_that_lies_before_the_student() -> None:
    used = knowing()
    asked = PHASES["train"].ask(states(used)[0], used)
    assert isinstance(asked.work, TrainWork)
    terms = asked.work.knowledge
    assert terms is not None
    assert (terms.weight, terms.imagined) == (2.0, 5)
    mapping = sized_content(load(asked.blob)["mapping"], "the mapping")
    assert parse_mapping(mapping) == used.config.knowledge.mapping  # type: ignore[union-attr]
    assert terms.mapping_sha256 == hashlib.sha256(mapping).hexdigest()
    assert len(asked.work.canonical()) < 2000, "what does not change is not in every plan"
    assert sized_content(load(asked.blob)["graph"], "the graph") == SmallToolbox().graph_bytes
    assert terms.graph_sha256 == states(used)[0].facts.graph_sha256 != ""


def test_the_graph_travels_once_and_deltas_move_the_student_alone() -> None:
    used = replace(knowing(), toolbox=SmallToolbox(graph_bytes=bytes(range(256)) * 400))
    asked = [PHASES[state.facts.phase].ask(state, used) for state in states(used)]
    for before, after in pairwise(asked):
        assert len(after.delta) < 1000 < len(after.blob)
        assert patched(before.blob, after.delta) == after.blob


def test_a_run_without_knowledge_attaches_nothing() -> None:
    used = kit()
    asked = PHASES["train"].ask(states(used)[0], used)
    assert isinstance(asked.work, TrainWork)
    assert asked.work.knowledge is None
    assert list(load(asked.blob)) == ["vector"]


def test_private_graphs_need_no_public_one() -> None:
    used = replace(kit(knowledge={"mapping": MAPPING}), toolbox=SmallToolbox(graph_bytes=b""))
    asked = PHASES["train"].ask(states(used)[0], used)
    assert isinstance(asked.work, TrainWork)
    assert asked.work.knowledge is not None
    assert asked.work.knowledge.graph_sha256 == ""
    assert sorted(load(asked.blob)) == ["mapping", "vector"]


def test_answers_carry_it_too() -> None:
    used = knowing(proxy={"source": "generated", "records": 10})
    asked = PHASES["train"].ask(states(used)[0], used)
    assert isinstance(asked.work, AnswerWork)
    assert asked.work.knowledge is not None
    assert sorted(load(asked.blob)) == ["graph", "mapping", "vector"]


def test_another_graph_in_the_middle_of_a_run_is_noticed() -> None:
    used = knowing()
    state = states(used)[0]
    with pytest.raises(RunError, match="the knowledge graph is another than when the run began"):
        PHASES["train"].ask(state, replace(used, toolbox=SmallToolbox(graph_bytes=b"another")))


def test_trust_is_in_the_figures_of_the_round() -> None:
    used = knowing()
    state = states(used)[0]
    sums = sums_for(state, used)
    counters = dict(sums.counters)
    counters["eval_trust"][:], counters["eval_knowing"][:] = round(0.9 * FIXED_POINT), 2
    after = PHASES["train"].apply(state, replace(sums, counters=counters), used)
    assert after.facts.metrics["knowledge_trust"] == pytest.approx(0.3, abs=1e-4)
    assert after.facts.metrics["knowledge_used"] == pytest.approx(2 / 3)
    assert "knowledge_trust" not in PHASES["train"].apply(states(kit())[0], sums_for(states(kit())[0], kit()), kit()).facts.metrics
