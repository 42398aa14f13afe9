"""A coordinator's key behind a fuzzer: whole institutions answer or refuse by name, and never fail inside."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from client.audit import InstitutionAudit
from fedstill.simulation import Vanish
from server.site import CoordinatorSite
from shared import errors
from shared.exchange import MessageKind, Refusal, Request
from shared.rpc.codec import open_request, seal_request
from shared.secagg import errors as protocol_errors
from tests.support.fuzzing import bounded_memory, mutated
from tests.support.small import make_federation
from tests.support.wiretap import Scene, scene

INPUTS = 300
TYPED = {name for module in (errors, protocol_errors) for name in vars(module) if isinstance(vars(module)[name], type)}


@pytest.fixture(autouse=True)
def no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    # A refusal is otherwise on the disk before it leaves, which is most of the time here and not the point.
    monkeypatch.setattr(InstitutionAudit, "refused", lambda self, request, slot, refusal: None)


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "before" if (institution, number, stage) == ("fir", 3, "train") else None


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "number"), [("open", 0), ("train", 1), ("train", 3), ("agree", 3), ("unmask", 3)])
def test_whatever_the_coordinator_signs_is_answered_or_refused_by_name(kind: MessageKind, number: int, tmp_path: Path) -> None:
    here = scene(make_federation(tmp_path, 5), kind, number, faults=one_is_lost)
    true = here.requests["ash"]
    body = open_request(kind, true.header, here.coordinator.roster.coordinator)
    with bounded_memory(64 * 2**20):
        ends = Counter(
            end_of(here, Request(kind, sealed(here, kind, content), true.blob)) for content in mutated([body], INPUTS, seed=number)
        )
    assert ends.total() == INPUTS
    assert set(ends) - {"Reply"} <= TYPED, "by a name that has a page"
    assert ends.total() - ends["Reply"] > INPUTS // 2


@pytest.mark.timeout(120)
def test_a_signed_train_request_whose_work_and_model_were_mutated(tmp_path: Path) -> None:
    here = scene(make_federation(tmp_path, 3), "train", 3)
    true, rng = here.requests["ash"], random.Random(4)
    header = list(mutated([true.header], INPUTS, seed=4))
    blobs = list(mutated([true.blob], INPUTS, seed=5))
    ends = Counter(end_of(here, Request(rng.choice(KINDS), header[turn], blobs[turn])) for turn in range(INPUTS))
    assert set(ends) <= {"ForgedMessage", "ProtocolError"}, "nobody signed any of these"
    assert end_of(here, true) == "Reply"


KINDS: list[MessageKind] = ["open", "train", "agree", "unmask"]


def sealed(here: Scene, kind: MessageKind, body: bytes) -> bytes:
    return seal_request(kind, body, CoordinatorSite(here.federation.coordinator).identity)


def end_of(here: Scene, request: Request) -> str:
    answer: Any = here.ask("ash", request)
    return answer.code if isinstance(answer, Refusal) else type(answer).__name__
