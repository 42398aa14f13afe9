from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from fedstill.simulation import Vanish
from server.metrics import read_metrics
from server.site import CoordinatorSite
from server.store import Store
from shared.exchange import MessageKind
from shared.service import write_status
from tests.support.small import make_federation


def values(families: list[Metric]) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "before" if (institution, number, stage) == ("birch", 3, "train") else None


def test_a_run_in_figures_the_same_after_a_restart(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=2)
    home = federation.institutions["elm"] / "institution.toml"
    home.write_text(home.read_text().replace("smallest_cohort = 3", "smallest_cohort = 3\nmost_rounds = 3"))
    result = federation.run(faults=one_is_lost)
    status = tmp_path / "status.json"
    found = values(list(read_metrics(CoordinatorSite(federation.coordinator), status)))
    assert found["fedstill_rounds_total", "trial", "train", "closed"] == 2
    assert found["fedstill_absences_total", "trial", "birch"] == 1
    assert found["fedstill_refusals_total", "trial", "elm"] >= 1
    assert found["fedstill_bytes_total", "trial", "ash", "up"] == sum(record.bytes_up["ash"] for record in result.rounds)
    assert found["fedstill_stage_seconds_total", "trial", "train"] > 0
    assert found["fedstill_run_finished", "trial"] == 1.0
    assert found["fedstill_gate_accuracy", "trial", "float"] == 1.0
    assert found["fedstill_gate_agreement", "trial", "u8u8"] == 1.0
    assert found["fedstill_figure", "trial", "train_records"] == 140.0
    assert found["fedstill_institutions_online",] == 0.0
    write_status(status, "coordinator", "running", online=("ash", "elm"))
    again = values(list(read_metrics(CoordinatorSite(federation.coordinator), status)))
    assert again == found | {("fedstill_institutions_online",): 2.0}


def test_epsilon_and_a_store_without_runs(tmp_path: Path) -> None:
    privacy = {"epsilon": 50.0, "delta": 1e-5}
    federation = make_federation(tmp_path, 4, rounds=1, privacy=privacy, aggregation={"width": 16, "rotation": True})
    site = CoordinatorSite(federation.coordinator)
    assert list(values(list(read_metrics(site, tmp_path / "none")))) == [("fedstill_institutions_online",)]
    federation.run()
    found = values(list(read_metrics(site, tmp_path / "none")))
    assert 0 < found["fedstill_epsilon", "trial"] <= 50.0


def test_a_look_loads_one_plan_a_run_and_not_those_of_all_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = make_federation(tmp_path, 3, rounds=2)
    federation.run()
    site, loaded = CoordinatorSite(federation.coordinator), list[int]()
    plan = Store.plan

    def counted(store: Store, run: str, number: int) -> bytes | None:
        loaded.append(number)
        return plan(store, run, number)

    def all_of_them(*_: Any, **__: Any) -> None:
        raise AssertionError("this loads the plan of every round")

    monkeypatch.setattr(Store, "plan", counted)
    monkeypatch.setattr(Store, "rounds", all_of_them)
    found = values(list(read_metrics(site, tmp_path / "none")))
    assert found["fedstill_gate_agreement", "trial", "u8u8"] == 1.0
    assert len(loaded) == 1
