"""What the coordinator's audit says of a run, whatever happened to the coordinator meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedstill.simulation import Vanish
from server.audit import CoordinatorAudit
from server.events import Event
from server.site import CoordinatorSite
from server.store import Store
from shared.audit.writer import AuditLog
from shared.errors import AuditError, ResourceError
from shared.exchange import MessageKind
from shared.identity import save_roster
from shared.secagg.roster import Roster
from tests.support.audits import audit_of
from tests.support.small import make_federation


class Killed(BaseException):
    """As final as a kill."""


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "before" if (institution, number, stage) == ("birch", 3, "train") else None


def test_a_run_from_its_roster_to_its_artifact(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=1)
    result = federation.run(faults=one_is_lost)
    entries = audit_of(federation.coordinator)
    assert [entry.kind for entry in entries[:3]] == ["roster", "run-started", "epoch-opened"]
    assert [entry.kind for entry in entries[-2:]] == ["artifact", "run-finished"]
    assert entries[0].fields["enrolled"] == ["ash", "birch", "cedar", "elm"]
    rounds = [entry.fields for entry in entries if entry.kind == "round"]
    assert [fields["round"] for fields in rounds] == [record.number for record in result.rounds]
    lost = rounds[2]
    assert (lost["absent"], lost["survivors"]) == ({"birch": "its node went away"}, ["ash", "cedar", "elm"])
    assert set(lost["answers"]) == {"train", "agree", "unmask"}
    plans = [entry.fields for entry in entries if entry.kind == "plan"]
    assert [plan["round"] for plan in plans] == [fields["round"] for fields in rounds]
    assert not any("counters" in fields for fields in rounds), "sums are in the store, not in the audit"
    artifact = entries[-2].fields
    assert artifact["files"].keys() == {"manifest.json"}
    assert artifact["gate"]["gate_records"] == [140]


def test_a_refusal_is_in_it_with_its_reason(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=1)
    home = federation.institutions["elm"] / "institution.toml"
    home.write_text(home.read_text().replace("smallest_cohort = 3", "smallest_cohort = 3\nmost_rounds = 2"))
    federation.run()
    refused = [entry.fields["refused"] for entry in audit_of(federation.coordinator) if entry.kind == "round"][2]
    assert "policy.most_rounds" in refused["elm"]


def test_epsilon_is_in_every_round_and_at_the_artifact(tmp_path: Path) -> None:
    privacy = {"epsilon": 50.0, "delta": 1e-5}
    federation = make_federation(tmp_path, 4, rounds=1, privacy=privacy, aggregation={"width": 16, "rotation": True})
    federation.run()
    entries = audit_of(federation.coordinator)
    spent = [entry.fields["epsilon_spent"] for entry in entries if entry.kind in ("round", "artifact")]
    assert spent[:2] == [0.0, 0.0]
    assert spent[2:] == [spent[-1]] * len(spent[2:])
    assert 0 < spent[-1] <= 50.0


def test_a_kill_between_store_and_audit_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    settle, left = Store.settle_round, [2]

    def dies(*arguments: Any, **named: Any) -> None:
        settle(*arguments, **named)
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(Store, "settle_round", dies)
    with pytest.raises(Killed):
        federation.run()
    federation.run()
    rounds = [entry.fields for entry in audit_of(federation.coordinator) if entry.kind == "round"]
    assert sorted(fields["round"] for fields in rounds) == [1, 2, 3, 4, 5, 6]
    assert [fields["round"] for fields in rounds if fields["late"]] == [2]


def test_a_round_that_is_asked_again_says_so(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)

    def dies(event: Event) -> None:
        if event.kind == "round-started" and event.number == 3 and not event.resumed:
            raise Killed

    with pytest.raises(Killed):
        federation.run(watch=dies)
    federation.run()
    plans = [entry.fields for entry in audit_of(federation.coordinator) if entry.kind == "plan" and entry.fields["round"] == 3]
    assert [plan["resumed"] for plan in plans] == [False, True]
    assert plans[0]["plan_sha256"] == plans[1]["plan_sha256"]


def test_who_came_and_who_left(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    audit = CoordinatorAudit(CoordinatorSite(federation.coordinator))
    audit.roster()
    audit.roster()
    roster = CoordinatorSite(federation.coordinator).roster
    members = {**roster.members, "birch": roster.members["ash"], "yew": roster.members["birch"]}
    del members["cedar"]
    save_roster(federation.coordinator / "roster.json", Roster(members, roster.coordinator))
    CoordinatorAudit(CoordinatorSite(federation.coordinator)).roster()
    first, second = audit_of(federation.coordinator)
    assert first.fields["enrolled"] == ["ash", "birch", "cedar"]
    assert (second.fields["enrolled"], second.fields["removed"], second.fields["other_keys"]) == (["yew"], ["cedar"], ["birch"])


def test_who_came_is_asked_of_the_end_of_the_audit_and_not_of_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked at every change of the roster, under its lock, and an audit grows without end."""
    federation = make_federation(tmp_path, 3)
    CoordinatorAudit(CoordinatorSite(federation.coordinator)).roster()

    def whole(*_: Any) -> None:
        raise AssertionError("the whole audit was read")

    with monkeypatch.context() as patch:
        patch.setattr("server.audit.verify", whole)
        CoordinatorAudit(CoordinatorSite(federation.coordinator)).roster()
    assert [entry.kind for entry in audit_of(federation.coordinator)] == ["roster"]


def test_a_run_does_not_go_on_over_an_audit_that_does_not_fit(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    federation.run()
    log = federation.coordinator / "audit" / "log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(AuditError, match="cut off"):
        federation.run("another")


def test_an_audit_whose_head_was_taken_away_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    audit = CoordinatorAudit(CoordinatorSite(federation.coordinator))
    assert audit.entries() == ()
    audit.roster()
    (audit.folder / "head.json").unlink()
    with pytest.raises(AuditError, match=r"head\.json is missing"):
        audit.entries()


def test_a_disk_that_is_full_ends_the_run_and_the_same_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)

    def full(*_: Any, **__: Any) -> None:
        raise ResourceError("the audit cannot be written: No space left on device; free some space")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", full)
        with pytest.raises(ResourceError, match="No space left"):
            federation.run()
    federation.run()
    assert audit_of(federation.coordinator)[-1].kind == "run-finished"
