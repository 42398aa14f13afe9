"""A round's plan says what the federation's settings say, is on disk before anyone is asked, and its sum comes back by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.phases import Kit
from server.planning import RoundPlanner, decode, privacy_planner
from server.records import Epoch
from server.site import CoordinatorSite
from server.state import Facts, RunState
from shared.config import FederationConfig
from shared.rpc.codec import from_wire, open_request
from shared.secagg.encoding import count_offset
from shared.secagg.errors import IllegalPlan
from shared.secagg.messages import Aggregate, Plan, TrainRequest
from shared.work import Normalisation, StatisticsMomentsWork, counter_fields, parse_work
from tests.support.small import SIZE, SmallToolbox, federation_table, make_federation

COHORT = ("ash", "birch", "cedar", "elm")
EPOCH = Epoch(1, 1, COHORT, "open", {})


@pytest.fixture
def sites() -> Iterator[list[CoordinatorSite]]:
    made: list[CoordinatorSite] = []
    yield made
    for site in made:
        site.store.close()


def planner(folder: Path, sites: list[CoordinatorSite], **changed: Any) -> RoundPlanner:
    site = CoordinatorSite(make_federation(folder, 4, **changed).coordinator)
    sites.append(site)
    site.store.start_run("trial", site.config.canonical(), site.roster.digest)
    site.store.begin_epoch("trial", EPOCH, {})
    site.store.open_epoch("trial", EPOCH)
    return RoundPlanner("trial", folder / "run", site, Kit(site.config, SmallToolbox()))


def training(version: int = 0) -> RunState:
    facts = Facts(phase="train", version=version, normalisation=Normalisation(), weight_cap=40)
    return RunState(facts, vector=np.zeros(SIZE, np.float32))


def planned(made: RoundPlanner, state: RunState, number: int = 1) -> Plan:
    return from_wire(TrainRequest, made.plan(number, EPOCH, COHORT, state).plan).plan


def test_it_says_what_the_settings_say(tmp_path: Path, sites: list[CoordinatorSite]) -> None:
    made = planner(tmp_path, sites, aggregation={"clip_norm": 2.5, "width": 16})
    plan = planned(made, training())
    assert (plan.run, plan.round, plan.cohort, plan.threshold, plan.collusion) == ("trial", 1, COHORT, 3, 1)
    assert (plan.clip_norm, plan.layout.width, plan.layout.update_words, plan.weight_cap) == (2.5, 16, SIZE, 40)
    assert plan.roster_digest == made.site.roster.digest
    assert plan.layout.counters == sum(field.length for field in counter_fields(parse_work(plan.body), made.site.config.task))


def test_model_and_requests_are_kept_before_anyone_is_asked(tmp_path: Path, sites: list[CoordinatorSite]) -> None:
    made = planner(tmp_path, sites)
    plan = planned(made, training())
    stored = made.site.store.newest_round("trial")
    assert stored is not None
    assert hashlib.sha256((made.folder / stored.blob).read_bytes()).digest() == plan.blob_digest
    headers = made.site.store.requests("trial", 1, 1, "train")
    assert sorted(headers) == list(COHORT)
    bodies = {open_request("train", header, made.site.roster.coordinator) for header in headers.values()}
    assert [from_wire(TrainRequest, body).plan for body in bodies] == [plan], "one plan for all"


def test_a_statistics_round_carries_no_update(tmp_path: Path, sites: list[CoordinatorSite]) -> None:
    plan = planned(planner(tmp_path, sites), RunState(Facts(phase="statistics-moments", exponents=(4, 4))))
    assert isinstance(parse_work(plan.body), StatisticsMomentsWork)
    assert (plan.layout.update_words, plan.rotation) == (0, False)


def test_a_sum_that_could_overflow_is_not_planned(tmp_path: Path, sites: list[CoordinatorSite]) -> None:
    made = planner(tmp_path, sites, aggregation={"width": 8})
    huge = Facts(phase="train", normalisation=Normalisation(), weight_cap=2**62)
    with pytest.raises(IllegalPlan):
        made.plan(1, EPOCH, COHORT, RunState(huge, vector=np.zeros(SIZE, np.float32)))
    assert made.site.store.newest_round("trial") is None, "nothing of it is kept"


def test_a_sum_comes_back_by_name_and_without_the_offset_of_counts(tmp_path: Path, sites: list[CoordinatorSite]) -> None:
    made = planner(tmp_path, sites)
    stored = made.plan(1, EPOCH, COHORT, training())
    plan = from_wire(TrainRequest, stored.plan).plan
    counters = np.arange(plan.layout.counters, dtype=np.uint64) + np.uint64(len(COHORT) * count_offset(plan))
    sums = decode(stored.plan, Aggregate(COHORT, 100, np.zeros(SIZE, np.int32), counters), made.site.config.task)
    names = [field.name for field in counter_fields(parse_work(plan.body), made.site.config.task)]
    assert (list(sums.counters), sums.weight, sums.survivors) == (names, 100, COHORT)
    assert sums.mean.tolist() == [0.0] * SIZE
    assert sums.counters["unclipped"].tolist() == [plan.layout.counters - 1]


def test_noise_is_planned_where_it_is_wanted() -> None:
    table = federation_table(2)
    assert privacy_planner(FederationConfig.model_validate(table)) is None
    assert privacy_planner(FederationConfig.model_validate({**table, "privacy": {"epsilon": 8.0}})) is not None


def test_rounds_that_learn_with_the_grid_are_part_of_the_budget() -> None:
    table = {**federation_table(4), "aggregation": {"width": 16}, "privacy": {"epsilon": 8.0}}
    planner = privacy_planner(FederationConfig.model_validate({**table, "compression": {"quantisation_aware": 3}}))
    assert planner is not None
    assert planner.rounds == 7
