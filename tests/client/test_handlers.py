"""One institution and a coordinator that is not to be trusted: what it answers, answers again, and refuses."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import save

from client.audit import InstitutionAudit
from client.handlers import InstitutionHandlers, Workbench
from client.site import InstitutionSite, round_generator
from server.site import CoordinatorSite
from shared.deltas import moved, pack, quantise
from shared.errors import AuditError
from shared.exchange import MessageKind, Refusal, Reply, Request
from shared.rpc.codec import from_wire, join_masked, seal_request, to_wire
from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.messages import EpochKey, Layout, OpenRequest, Plan, Shares, TrainRequest
from shared.secagg.signing import keys_digest
from shared.settings import DistillationSettings, TrainingSettings
from shared.work import Normalisation, TrainWork, Work
from tests.support.audits import audit_of
from tests.support.small import NAMES, SIZE, SmallContribution, SmallWorkbench, make_federation

TRAIN = TrainWork(version=0, seed=3, normalisation=Normalisation(), training=TrainingSettings(), distillation=DistillationSettings())
BLOB = save({"vector": np.zeros(SIZE, np.float32)})
COUNTERS = 9


@dataclass
class Table:
    """A coordinator's keys and the institutions' handlers, without anything between them."""

    site: CoordinatorSite
    sites: dict[str, InstitutionSite]
    keys: tuple[EpochKey, ...] = ()

    def ask(self, name: str, request: Request, workbench: Any = SmallWorkbench) -> Reply | Refusal:
        """A fresh process of the institution answers."""
        site = InstitutionSite(self.sites[name].folder)
        return InstitutionHandlers(site, lambda: workbench(site)).answer(request)

    def seal(self, kind: MessageKind, message: Any, blob: bytes = b"", key: Ed25519PrivateKey | None = None) -> Request:
        return Request(kind, seal_request(kind, to_wire(message), key or self.site.identity), blob)

    def open(self, epoch: int = 1) -> None:
        request = self.seal("open", OpenRequest("trial", epoch, self.site.roster.digest))
        replies = [self.ask(name, request) for name in self.sites]
        self.keys = tuple(from_wire(EpochKey, reply.header) for reply in replies if isinstance(reply, Reply))

    def plan(self, number: int = 1, work: Work = TRAIN, **changed: Any) -> Plan:
        plan = Plan(
            run="trial",
            epoch=1,
            round=number,
            roster_digest=self.site.roster.digest,
            keys_digest=keys_digest(self.keys),
            cohort=tuple(sorted(self.sites)),
            threshold=3,
            share_threshold=3,
            collusion=1,
            layout=Layout(SIZE, COUNTERS),
            clip_norm=3.0,
            weight_cap=60,
            body=work.canonical(),
            blob_digest=hashlib.sha256(BLOB).digest(),
        )
        return replace(plan, **changed)

    def train(self, plan: Plan) -> Request:
        return self.seal("train", TrainRequest(plan, self.keys), BLOB)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    federation = make_federation(tmp_path, 3)
    made = Table(CoordinatorSite(federation.coordinator), {name: InstitutionSite(home) for name, home in federation.institutions.items()})
    made.open()
    return made


def refusal(answer: Reply | Refusal) -> Refusal:
    assert isinstance(answer, Refusal)
    return answer


def test_the_same_request_gets_the_same_bytes_from_any_process(table: Table) -> None:
    opening = table.seal("open", OpenRequest("trial", 1, table.site.roster.digest))
    training = table.train(table.plan())
    for request in (opening, training):
        first = table.ask("ash", request)
        assert isinstance(first, Reply)
        assert table.ask("ash", request) == first


def test_a_round_from_open_to_unmask(table: Table) -> None:
    plan = table.plan()
    masking = CoordinatorRound(plan, table.keys, table.site.roster)
    for name in table.sites:
        reply = table.ask(name, table.train(plan))
        assert isinstance(reply, Reply)
        masking.add(join_masked(reply.header, reply.blob))
    masking.close()
    for name in table.sites:
        request = table.seal("unmask", masking.unmask_request(name))
        reply = table.ask(name, request)
        assert isinstance(reply, Reply)
        assert table.ask(name, request) == reply
        masking.add_shares(from_wire(Shares, reply.header))
    aggregate = masking.finish()
    assert aggregate.weight == 20 + 30 + 40
    assert aggregate.counters.tolist()[0] == 20 + 30 + 40


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("ReplayedRound", {"clip_norm": 2.0}),
        ("ReplayedRound", {"weight_cap": 50}),
        ("LostEpoch", {"epoch": 2}),
    ],
)
def test_another_plan_for_an_answered_round_is_refused(code: str, changed: dict[str, Any], table: Table) -> None:
    assert isinstance(table.ask("ash", table.train(table.plan())), Reply)
    assert refusal(table.ask("ash", table.train(table.plan(**changed)))).code in (code, "ReplayedRound")


def test_an_older_round_and_an_older_epoch_are_refused(table: Table) -> None:
    assert isinstance(table.ask("ash", table.train(table.plan(5))), Reply)
    assert refusal(table.ask("ash", table.train(table.plan(4)))).code == "ReplayedRound"
    again = table.seal("open", OpenRequest("trial", 0, table.site.roster.digest))
    assert refusal(table.ask("ash", again)).code == "ReplayedRound"


def test_a_round_number_is_not_masked_again_in_another_epoch(table: Table) -> None:
    assert isinstance(table.ask("ash", table.train(table.plan(5))), Reply)
    table.open(epoch=2)
    assert refusal(table.ask("ash", table.train(table.plan(5, epoch=2)))).code == "ReplayedRound"
    assert isinstance(table.ask("ash", table.train(table.plan(6, epoch=2))), Reply)


@pytest.mark.parametrize("kind", ["open", "train", "agree", "unmask"])
def test_what_the_coordinator_did_not_sign_is_refused(kind: MessageKind, table: Table) -> None:
    stranger = Ed25519PrivateKey.generate()
    message = OpenRequest("trial", 2, table.site.roster.digest) if kind == "open" else TrainRequest(table.plan(), table.keys)
    assert refusal(table.ask("ash", table.seal(kind, message, BLOB, stranger))).code == "ForgedMessage"
    for garbage in (b"", b"\xff" * 50):
        assert refusal(table.ask("ash", Request(kind, garbage))).code in ("ForgedMessage", "ProtocolError")


def test_a_request_signed_for_one_kind_is_worth_nothing_as_another(table: Table) -> None:
    request = table.train(table.plan())
    assert refusal(table.ask("ash", replace(request, kind="unmask"))).code == "ForgedMessage"


def test_another_model_than_the_plan_names_is_refused(table: Table) -> None:
    request = table.train(table.plan())
    assert refusal(table.ask("ash", replace(request, blob=BLOB + b"\0"))).code == "ForgedMessage"


def test_the_same_round_asked_with_the_model_in_another_form_gets_the_stored_bytes(table: Table) -> None:
    whole = table.train(table.plan())
    first = table.ask("ash", whole)
    assert isinstance(first, Reply)
    for blob in (b"", b"a delta", BLOB):
        assert table.ask("ash", replace(whole, blob=blob)) == first


def test_a_model_comes_as_a_delta_to_the_one_before_and_is_trained_as_if_it_came_whole(table: Table) -> None:
    delta = quantise(np.linspace(-1, 1, SIZE))
    following = save({"vector": moved(np.zeros(SIZE, np.float32), delta)})
    seen: list[bytes] = []

    class Watched(SmallWorkbench):
        def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
            seen.append(blob)
            return super().perform(work, blob, round_number)

    plan = table.plan(2, blob_digest=hashlib.sha256(following).digest())
    packed = table.seal("train", TrainRequest(plan, table.keys), pack(delta, BLOB, following))
    assert refusal(table.ask("ash", packed, Watched)).code == "MissingBase"
    for request in (table.train(table.plan()), packed):
        assert isinstance(table.ask("ash", request, Watched), Reply)
    assert seen == [BLOB, following]


def test_a_plan_that_is_refused_leaves_the_held_model_alone(table: Table) -> None:
    assert isinstance(table.ask("ash", table.train(table.plan())), Reply)
    other = save({"vector": np.ones(SIZE, np.float32)})
    plan = table.plan(2, threshold=1, blob_digest=hashlib.sha256(other).digest())
    assert refusal(table.ask("ash", table.seal("train", TrainRequest(plan, table.keys), other))).code == "IllegalPlan"
    assert table.sites["ash"].models.path.read_bytes() == BLOB


def test_an_unknown_work_is_refused_by_name_of_the_cause(table: Table) -> None:
    plan = table.plan(body=b'{"kind":"read-all-records"}')
    assert "work that this release does not know" in refusal(table.ask("ash", table.train(plan))).reason


def test_a_wrong_roster_is_refused_at_open(table: Table) -> None:
    request = table.seal("open", OpenRequest("trial", 2, b"\1" * 32))
    assert refusal(table.ask("ash", request)).code == "WrongRoster"


def test_an_institution_without_the_epoch_says_so(table: Table) -> None:
    (table.sites["ash"].folder / "state" / "ledger.sqlite").unlink()
    assert refusal(table.ask("ash", table.train(table.plan()))).code == "LostEpoch"


class Talkative:
    def __init__(self, site: InstitutionSite) -> None:
        pass

    def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
        raise ValueError("patient 12 has diabetes")


def test_an_unexpected_error_shows_its_kind_and_place_in_the_log_and_nothing_of_its_text(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="fedstill.client"):
        answer = refusal(table.ask("ash", table.train(table.plan()), Talkative))
    assert answer.code == "InternalError"
    assert "ValueError at " in caplog.text, "its own operator finds the cause"
    assert "test_handlers.py" in caplog.text
    assert "in perform" in caplog.text
    assert "diabetes" not in answer.reason + caplog.text


@pytest.mark.parametrize("wrong", [RecursionError("patient 12"), KeyError("patient 12"), AuditError("it was cut off")])
def test_a_refusal_that_cannot_be_written_down_leaves_and_is_in_the_log(
    wrong: Exception, table: Table, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: Any, **__: Any) -> None:
        raise wrong

    monkeypatch.setattr(InstitutionAudit, "refused", cannot)
    for request in (Request("train", b"garbage"), table.train(table.plan(epoch=2))):
        assert refusal(table.ask("ash", request)).code in ("ForgedMessage", "ProtocolError", "LostEpoch")
    assert caplog.text.count("the refusal of a train message could not be written into the audit") == 2
    assert "patient" not in caplog.text


def test_nothing_is_lost_by_an_error_in_the_middle(table: Table) -> None:
    request = table.train(table.plan())
    refusal(table.ask("ash", request, Talkative))
    assert isinstance(table.ask("ash", request), Reply)


class Diverged:
    def __init__(self, site: InstitutionSite) -> None:
        pass

    def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
        return SmallContribution(np.full(SIZE, np.nan, np.float32), 10, np.zeros(COUNTERS, np.int64))


def test_an_update_that_is_not_finite_never_leaves(table: Table) -> None:
    assert refusal(table.ask("ash", table.train(table.plan()), Diverged)).code == "IllegalVector"


def test_more_records_than_the_cap_weigh_no_more(table: Table) -> None:
    plan = table.plan(weight_cap=25)
    masking = CoordinatorRound(plan, table.keys, table.site.roster)
    for name in table.sites:
        reply = table.ask(name, table.train(plan))
        assert isinstance(reply, Reply)
        masking.add(join_masked(reply.header, reply.blob))
    masking.close()
    for name in table.sites:
        reply = table.ask(name, table.seal("unmask", masking.unmask_request(name)))
        assert isinstance(reply, Reply)
        masking.add_shares(from_wire(Shares, reply.header))
    assert masking.finish().weight == 20 + 25 + 25


def test_every_answer_and_every_refusal_is_in_the_audit(table: Table) -> None:
    table.ask("ash", table.train(table.plan()))
    table.ask("ash", table.train(table.plan(clip_norm=2.0)))
    entries = audit_of(table.sites["ash"].folder)
    assert [(entry.kind, entry.fields.get("stage")) for entry in entries] == [
        ("answered", "open"),
        ("agreed", None),
        ("answered", "train"),
        ("refused", "train"),
    ]
    assert entries[2].fields["round"] == entries[3].fields["round"] == 1
    assert entries[3].fields["code"] == "ReplayedRound"


def test_an_answer_that_is_given_again_is_written_down_again(table: Table) -> None:
    request = table.train(table.plan())
    table.ask("ash", request)
    table.ask("ash", request)
    _, _, first, again = audit_of(table.sites["ash"].folder)
    assert (first.kind, again.kind) == ("answered", "answered-again")
    assert {**first.fields, "seconds": 0} == {**again.fields, "seconds": 0}


def test_what_cannot_be_written_into_the_audit_does_not_leave(table: Table) -> None:
    log = table.sites["ash"].folder / "audit" / "log.jsonl"
    before = log.read_bytes()
    log.write_bytes(b"")
    request = table.train(table.plan())
    answer = refusal(table.ask("ash", request))
    assert answer.code == "AuditError"
    log.write_bytes(before)
    assert isinstance(table.ask("ash", request), Reply)


def test_a_workbench_is_made_once_and_only_when_there_is_work(table: Table) -> None:
    made: list[Workbench] = []
    site = table.sites["ash"]

    def make() -> Workbench:
        made.append(SmallWorkbench(site))
        return made[-1]

    handlers = InstitutionHandlers(site, make)
    handlers.answer(table.seal("open", OpenRequest("trial", 1, table.site.roster.digest)))
    assert made == []
    for number in (1, 2):
        assert isinstance(handlers.answer(table.train(table.plan(number))), Reply)
    assert len(made) == 1


def test_random_numbers_belong_to_seed_institution_round_and_purpose() -> None:
    base = (3, "ash", 1, "rounding")
    same = round_generator(*base).random(4)
    np.testing.assert_array_equal(same, round_generator(*base).random(4))
    others = [(4, "ash", 1, "rounding"), (3, "as", 1, "rounding"), (3, "ash", 2, "rounding"), (3, "ash", 1, "noise")]
    assert all(not np.array_equal(same, round_generator(*other).random(4)) for other in others)
    assert NAMES[0] == "ash"
