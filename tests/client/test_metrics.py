from __future__ import annotations

from pathlib import Path

import pytest

from client.metrics import InstitutionMetrics
from shared.errors import RunError
from tests.support.audits import audit_of
from tests.support.small import make_federation


def values(metrics: InstitutionMetrics) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for family in metrics.read() for sample in family.samples}


def test_a_run_in_figures_the_same_after_a_restart(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=1, policy={"most_rounds": 5})
    home = federation.institutions["ash"]
    metrics = InstitutionMetrics(home / "audit", lambda: True)
    assert values(metrics) == {("fedstill_connected",): 1.0}
    with pytest.raises(RunError, match="void"):
        federation.run()
    found = values(metrics)
    assert found["fedstill_rounds_agreed_total", "train"] == 1
    assert found["fedstill_answers_total", "train", "false"] == 5
    assert found["fedstill_answers_total", "open", "false"] >= 1
    assert found["fedstill_refusals_total", "train", "PolicyRefusal"] >= 1
    assert found["fedstill_stage_seconds_total", "train"] > 0
    entries = audit_of(home)
    assert found["fedstill_bytes_total", "up"] == sum(entry.fields.get("bytes_up", 0) for entry in entries)
    assert sum(found["fedstill_left_bytes_total", form] for form in ("masked", "sealed", "clear")) == found["fedstill_bytes_total", "up"]
    assert values(metrics) == found == values(InstitutionMetrics(home / "audit", lambda: True))
    (home / "audit" / "log.jsonl").unlink()
    assert values(metrics) == {("fedstill_connected",): 1.0}


def test_epsilon_is_what_was_spent(tmp_path: Path) -> None:
    privacy = {"epsilon": 50.0, "delta": 1e-5}
    federation = make_federation(tmp_path, 4, rounds=1, privacy=privacy, aggregation={"width": 16, "rotation": True})
    federation.run()
    found = values(InstitutionMetrics(federation.institutions["ash"] / "audit", lambda: False))
    assert found["fedstill_epsilon", "1e-05"] > 0
    assert found["fedstill_connected",] == 0.0
