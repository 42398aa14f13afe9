"""Rounds of weights and rounds of answers are told the same."""

from __future__ import annotations

import pytest

from server.learning import learning
from server.state import Facts, RunState
from shared.config import FederationConfig
from shared.work import LearningWork, Normalisation, TrainWork, parse_work
from tests.support.small import federation_table

FACTS = Facts(phase="train", version=1, normalisation=Normalisation(means=(1.0,), deviations=(2.0,)), label_shares=(0.25, 0.75))


def test_every_field_is_said_and_none_is_left_at_its_default() -> None:
    table = federation_table(4)
    table["aggregation"] = {**table.get("aggregation", {}), "error_feedback": True}
    said = learning(RunState(FACTS), FederationConfig.model_validate(table))
    assert said.model_fields_set == set(LearningWork.model_fields)
    assert (said.version, said.label_shares, said.normalisation, said.error_feedback) == (1, (0.25, 0.75), FACTS.normalisation, True)


def test_a_work_of_it_crosses_the_wire_whole() -> None:
    said = learning(RunState(FACTS), FederationConfig.model_validate(federation_table(4)))
    work = TrainWork(**dict(said), fragments={"a": ("head",)})
    arrived = parse_work(work.canonical())
    assert isinstance(arrived, TrainWork)
    assert arrived == work
    assert {name: getattr(arrived, name) for name in LearningWork.model_fields} == dict(said)


def test_with_a_grid_it_is_the_last_rate_whatever_the_version_and_no_graph_teaches() -> None:
    facts = FACTS.model_copy(update={"version": 2, "float_version": 2})
    table = federation_table(4) | {"training": {"annealing": "round"}}
    said = learning(RunState(facts), FederationConfig.model_validate(table))
    assert (said.span, said.knowledge) == ((1.0, 1.0), None)


@pytest.mark.parametrize("version", range(4))
def test_a_round_does_its_part_of_the_falling_rate(version: int) -> None:
    facts = FACTS.model_copy(update={"version": version})
    assert learning(RunState(facts), FederationConfig.model_validate(federation_table(4))).span == (version / 4, (version + 1) / 4)
