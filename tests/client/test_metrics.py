from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.metrics import InstitutionMetrics
from shared.audit.writer import AuditLog
from shared.errors import ResourceError, RunError
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


ITEM = {"form": "clear", "bytes": 3}
FIT: dict[str, object] = {"stage": "open", "seconds": 0.5, "bytes_up": 3, "left": [ITEM], "delta": 1e-5, "epsilon_spent": 2.0}


NO_STAGES: list[object] = [None, 7, ["open"], {}]
NO_COUNTS: list[object] = ["3", [], 1.5]


@pytest.mark.parametrize(
    "odd",
    [
        *({"stage": odd} for odd in NO_STAGES),
        *({"seconds": odd} for odd in (None, "1", True)),
        *({"bytes_up": odd} for odd in NO_COUNTS),
        *({"left": odd} for odd in (7, [7], [ITEM, {}], [{"form": [], "bytes": 1}], [{"form": "clear", "bytes": "3"}])),
        *({"delta": odd} for odd in (None, "small")),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_passed_over_whole(odd: dict[str, object], tmp_path: Path) -> None:
    audit, metrics = AuditLog(tmp_path, "institution/ash", Ed25519PrivateKey.generate()), InstitutionMetrics(tmp_path, lambda: True)
    audit.append("answered", **FIT)
    found = values(metrics)
    assert (found["fedstill_answers_total", "open", "false"], found["fedstill_left_bytes_total", "clear"]) == (1, 3)
    audit.append("answered", **{**FIT, **odd})
    assert values(metrics) == found
    audit.append("answered", **FIT)
    assert values(metrics)["fedstill_answers_total", "open", "false"] == 2


def test_an_audit_that_cannot_be_read_is_no_audit_without_lines(tmp_path: Path) -> None:
    metrics = InstitutionMetrics(tmp_path, lambda: True)
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(ResourceError, match="cannot be read"):
        values(metrics)
    (tmp_path / "log.jsonl").rmdir()
    assert values(metrics) == {("fedstill_connected",): 1.0}
