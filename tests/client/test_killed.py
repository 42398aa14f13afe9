"""An institution is killed at every point of a round at which it writes something; it comes back, and nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode

import server.flower
import shared.audit.writer
from client.app import make_app
from client.handlers import InstitutionHandlers
from client.ledger import Ledger
from server.flower import GridExchange
from shared.audit.compare import compare
from shared.audit.keys import open_audit
from shared.audit.writer import AuditLog
from shared.files import write_atomic
from tests.support.audits import audit_of
from tests.support.small import SmallFederation, SmallWorkbench, digest_of, make_federation, undisturbed

VICTIM = "ash"
POINTS = (
    "before the plan is in the audit",
    "between the plan's line and the head",
    "after the plan is in the audit",
    "before the answer is in the ledger",
    "after the answer is in the ledger",
    "between the answer's line and the head",
    "after the answer is in the audit",
    "before the answer leaves",
)


class Killed(BaseException):
    """As final as a kill: nothing that a program catches."""


class Killer:
    """Kills once, at one point of the victim's first training round."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.armed = False
        self.died = False

    def at(self, point: str) -> None:
        if self.armed and not self.died and point == self.point:
            self.died = True
            raise Killed(point)

    def around(self, call: Callable[..., Any], before: Callable[..., str], after: Callable[..., str]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.at(before(*arguments, **named))
            result = call(*arguments, **named)
            self.at(after(*arguments, **named))
            return result

        return wrapped


def of_kind(words: str) -> Callable[..., str]:
    return lambda log, kind, **fields: words.format({"agreed": "plan", "answered": "answer"}.get(kind, ""))


@pytest.fixture(params=POINTS)
def killer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Killer:
    made = Killer(request.param)
    kinds: list[str] = []
    append = made.around(AuditLog.append, of_kind("before the {} is in the audit"), of_kind("after the {} is in the audit"))

    def remembered(log: AuditLog, kind: str, **fields: Any) -> Any:
        kinds.append({"agreed": "plan", "answered": "answer"}.get(kind, ""))
        return append(log, kind, **fields)

    head = made.around(write_atomic, lambda *_, **__: f"between the {kinds[-1]}'s line and the head", lambda *_, **__: "")
    record = made.around(Ledger.record, lambda *_: "before the answer is in the ledger", lambda *_: "after the answer is in the ledger")
    answer = made.around(InstitutionHandlers.answer, lambda *_: "", lambda *_: "before the answer leaves")
    monkeypatch.setattr(AuditLog, "append", remembered)
    monkeypatch.setattr(shared.audit.writer, "write_atomic", head)
    monkeypatch.setattr(Ledger, "record", record)
    monkeypatch.setattr(InstitutionHandlers, "answer", answer)
    defaults = GridExchange.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience_s", 20.0)
    monkeypatch.setattr(server.flower, "RETRY_S", 0.01)
    return made


def play(federation: SmallFederation, killer: Killer) -> Any:
    """A run whose victim is a fresh process after its death; Flower says meanwhile that the node went away."""
    apps = {"now": make_app(SmallWorkbench)}

    def mortal(message: Message, context: Context) -> Message:
        killer.armed = context.node_config["institution-dir"] == str(federation.institutions[VICTIM]) and message.metadata.group_id == "3"
        try:
            return apps["now"](message, context)
        except Killed:
            apps["now"] = make_app(SmallWorkbench)
            return Message(Error(ErrorCode.NODE_UNAVAILABLE, "killed"), reply_to=message)
        finally:
            killer.armed = False

    return federation.run(client_app=mortal)


def test_it_comes_back_and_nothing_is_lost_or_done_twice(killer: Killer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedstill.simulation.LocalGrid.__init__.__kwdefaults__", {"workers": 1, "faults": lambda *_: None})
    federation = make_federation(tmp_path, 3, rounds=2)
    result = play(federation, killer)
    assert killer.died, "it was killed where it should be"
    assert digest_of(result) == undisturbed(3, 2)
    assert [record.status for record in result.rounds] == ["closed"] * len(result.rounds)
    assert all(len(record.survivors) == 3 for record in result.rounds)
    assert compare(open_audit(federation.coordinator), open_audit(federation.institutions[VICTIM])) == ()
    of_round = [entry for entry in audit_of(federation.institutions[VICTIM]) if entry.fields.get("round") == 3]
    kinds = [entry.kind for entry in of_round if entry.fields.get("stage", "train") == "train"]
    answered = next(place for place, kind in enumerate(kinds) if kind.startswith("answered"))
    assert "agreed" not in kinds[answered:], "an answered round is never worked on again"
    assert kinds.count("answered") + kinds.count("answered-again") >= 1
