"""What an institution's audit says of a whole run: every byte that left is in it, under its own name, and no content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.site import InstitutionSite
from fedstill.simulation import Vanish
from server.coordinator import RunResult
from shared.audit.chain import Entry
from shared.errors import RunError
from shared.exchange import MessageKind
from tests.support.audits import audit_of
from tests.support.small import SIZE, SmallFederation, make_federation

NAME = "ash"


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "after" if (institution, number, stage) == ("birch", 3, "train") else None


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallFederation, RunResult]:
    federation = make_federation(tmp_path_factory.mktemp("run"), 4)
    return federation, federation.run(faults=one_is_lost)


@pytest.fixture
def entries(played: tuple[SmallFederation, RunResult]) -> tuple[Entry, ...]:
    return audit_of(played[0].institutions[NAME])


def answered(entries: tuple[Entry, ...], stage: str) -> list[Entry]:
    return [entry for entry in entries if entry.kind == "answered" and entry.fields["stage"] == stage]


def test_all_bytes_that_the_coordinator_got_are_in_it(played: tuple[SmallFederation, RunResult], entries: tuple[Entry, ...]) -> None:
    for record in played[1].rounds:
        of_round = [entry for entry in entries if entry.fields.get("round") == record.number and "bytes_up" in entry.fields]
        assert sum(entry.fields["bytes_up"] for entry in of_round) == record.bytes_up[NAME]
        assert sum(entry.fields["bytes_down"] for entry in of_round) == record.bytes_down[NAME]


def test_the_fields_of_every_answer_add_up_to_it(entries: tuple[Entry, ...]) -> None:
    answers = [entry for entry in entries if "left" in entry.fields]
    assert {entry.fields["stage"] for entry in answers} == {"open", "train", "agree", "unmask"}
    for entry in answers:
        assert sum(item["bytes"] for item in entry.fields["left"]) == entry.fields["bytes_up"]
        assert all(item["bytes"] >= 0 for item in entry.fields["left"])


def test_a_training_answer_says_what_left_masked_and_what_in_clear(entries: tuple[Entry, ...]) -> None:
    entry = next(entry for entry in answered(entries, "train") if entry.fields["work"] == "train")
    forms = {item["name"]: item["form"] for item in entry.fields["left"]}
    masked = {name for name, form in forms.items() if form == "masked"}
    assert masked == {
        *("update", "survivor-count", "weight", "eval_records", "eval_loss", "eval_confusion"),
        *("train_records", "train_loss", "unclipped"),
    }
    assert forms["mask-shares"] == "sealed"
    assert {name for name, form in forms.items() if form == "clear"} == {"mask-commitments", "agreement", "signature", "envelope"}
    counts = {item["name"]: item["count"] for item in entry.fields["left"]}
    assert (counts["update"], counts["eval_confusion"], counts["mask-shares"]) == (SIZE, 4, 3)
    assert entry.fields["cohort_size"] == 4


def test_every_plan_was_agreed_to_before_its_answer(played: tuple[SmallFederation, RunResult], entries: tuple[Entry, ...]) -> None:
    order = [(entry.kind, entry.fields["round"]) for entry in entries if entry.kind == "agreed" or entry.fields.get("stage") == "train"]
    assert order == [pair for record in played[1].rounds for pair in (("agreed", record.number), ("answered", record.number))]


def test_no_secret_is_in_it(played: tuple[SmallFederation, RunResult]) -> None:
    home = played[0].institutions[NAME]
    site = InstitutionSite(home)
    text = (home / "audit" / "log.jsonl").read_text()
    assert site.identity.private_bytes_raw().hex() not in text
    newest, _ = site.ledger.newest("trial")
    secrets = [value for value in _strings(json.loads(site.ledger.epoch("trial", newest).state)) if len(value) >= 32]
    assert secrets, "the epoch's state has keys"
    public = {key for entry in audit_of(home) for key in _strings(dict(entry.fields))}
    assert not [secret for secret in secrets if secret in text and secret not in public]


def _strings(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for inner in value.values() for text in _strings(inner)]
        case list():
            return [text for inner in value for text in _strings(inner)]
        case _:
            return []


def test_an_answer_that_was_lost_on_its_way_did_leave(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=1)

    def lost_on_the_way(institution: str, number: int, stage: MessageKind) -> Vanish:
        return "after" if (number, stage) == (3, "train") and institution in ("birch", "cedar") else None

    federation.run(faults=lost_on_the_way)
    kinds = [entry.kind for entry in audit_of(federation.institutions["birch"]) if entry.fields.get("round") == 3]
    assert kinds == ["agreed", "answered"]


def test_what_it_cost_and_a_refusal_are_in_it(tmp_path: Path) -> None:
    privacy = {"epsilon": 50.0, "delta": 1e-5}
    federation = make_federation(tmp_path, 4, rounds=1, privacy=privacy, aggregation={"width": 16, "rotation": True})
    federation.run()
    costs = [entry.fields for entry in audit_of(federation.institutions[NAME]) if "rho" in entry.fields]
    assert costs[0]["rho"] > 0
    assert costs[0]["epsilon_spent"] > 0
    strict = make_federation(tmp_path / "strict", 4, rounds=1, policy={"most_rounds": 2})
    with pytest.raises(RunError, match="void"):
        strict.run()
    refused = [entry.fields for entry in audit_of(strict.institutions[NAME]) if entry.kind == "refused"]
    assert refused[0]["code"] == "PolicyRefusal"
    assert "policy.most_rounds" in refused[0]["reason"]
    assert refused[0]["round"] == 3
