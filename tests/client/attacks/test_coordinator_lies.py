"""A coordinator that lies in the middle of a run, against whole institutions: signature, policy, ledger and protocol.

Each lie is signed with the coordinator's true key. It is refused with the code of its own error and a sentence that says who
and why, and changes nothing: the true request is answered afterwards, and the run ends with the student of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.ledger import ROUNDS_KEPT
from client.site import InstitutionSite
from fedstill.simulation import Vanish
from shared.exchange import MessageKind, Refusal, Reply, Request
from shared.identity import load_identity
from shared.rpc.codec import seal_request, to_wire
from shared.secagg.encoding import threshold_for
from shared.secagg.keys import public_key
from shared.secagg.messages import AgreeRequest, EpochKey, OpenRequest, Plan, TrainRequest, UnmaskRequest
from shared.secagg.signing import agreement_bytes, epoch_key_bytes, round_context, sign
from tests.support.audits import audit_of
from tests.support.secagg import Stream, flipped
from tests.support.small import NAMES, SIZE, SmallContribution, SmallFederation, SmallWorkbench, digest_of, make_federation, undisturbed
from tests.support.wiretap import Scene, run_tapped, scene

COUNT = 5
FIRST, TRAINING = 1, 3
"""The run's first round, and its first in which a student is trained."""
LOST = "fir"
SURVIVORS = NAMES[:4]


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "before" if (institution, number, stage) == (LOST, TRAINING, "train") else None


def made(folder: Path) -> SmallFederation:
    return make_federation(folder, COUNT, rounds=2)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Before Train of the first round: no institution has pinned anyone's key."""
    return scene(made(tmp_path_factory.mktemp("first")), "train", FIRST)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Before Train of a later round."""
    return scene(made(tmp_path_factory.mktemp("training")), "train", TRAINING)


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Before Agree, fir being lost."""
    return scene(made(tmp_path_factory.mktemp("agreeing")), "agree", TRAINING, faults=one_is_lost)


@pytest.fixture(scope="module")
def unmasking(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Before Unmask, fir being lost and the others agreed."""
    return scene(made(tmp_path_factory.mktemp("unmasking")), "unmask", TRAINING, faults=one_is_lost)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Before Unmask, nobody being lost."""
    return scene(made(tmp_path_factory.mktemp("whole")), "unmask", TRAINING)


def refused(here: Scene, request: Request, code: str, sentence: str, *, workbench: Any = SmallWorkbench, name: str = "ash") -> None:
    ledger = InstitutionSite(here.federation.institutions[name]).ledger
    before = ledger.epoch("trial", 1)
    answer = here.ask(name, request, workbench)
    assert isinstance(answer, Refusal), "a lie was answered"
    assert (answer.code, bool(re.search(sentence, answer.reason))) == (code, True), answer.reason
    assert ledger.epoch("trial", 1) == before
    last = audit_of(here.federation.institutions[name])[-1]
    assert (last.kind, last.fields["stage"], last.fields["code"]) == ("refused", request.kind, code), "its operator reads it in the audit"


def copied(here: Scene, folder: Path) -> Scene:
    """The same scene elsewhere, so that what is spent there is not spent here."""
    root = here.federation.coordinator.parent
    shutil.copytree(root, folder / "copy")
    homes = {name: folder / "copy" / home.relative_to(root) for name, home in here.federation.institutions.items()}
    return Scene(SmallFederation(folder / "copy" / "coordinator", homes), here.requests)


# Keys and members


def own_key(here: Scene, name: str, signer: Ed25519PrivateKey) -> EpochKey:
    """A key that the coordinator made in somebody's name, signed by whom it can."""
    true = here.opened().keys[0]
    unsigned = replace(true, institution=name, public_key=public_key(Stream("coordinator")(32)))
    return replace(unsigned, signature=sign(signer, epoch_key_bytes(unsigned)))


def with_key(here: Scene, key: EpochKey) -> TrainRequest:
    request = here.opened()
    return replace(request, keys=tuple(key if known.institution == key.institution else known for known in request.keys))


def helping(here: Scene, name: str) -> Ed25519PrivateKey:
    """The identity of an institution that works with the coordinator."""
    return load_identity(here.federation.institutions[name] / "keys" / "identity.key")


def test_a_swapped_key(first: Scene) -> None:
    for signer in (first.coordinator.identity, helping(first, "cedar")):
        swapped = with_key(first, own_key(first, "birch", signer))
        refused(first, first.sealed(swapped), "ForgedMessage", "the epoch key of 'birch' does not carry its owner's signature")


def test_a_swapped_key_of_an_institution_that_helps_comes_too_late(training: Scene) -> None:
    swapped = with_key(training, own_key(training, "birch", helping(training, "birch")))
    refused(training, training.sealed(swapped), "ForgedMessage", "other keys for epoch 1 than 'ash' has pinned")


def test_the_institutions_own_key_swapped(first: Scene) -> None:
    swapped = with_key(first, own_key(first, "ash", helping(first, "ash")))
    refused(first, first.sealed(swapped), "ForgedMessage", "do not hold the one that 'ash' has made")


def test_a_key_that_everyone_could_guess_the_secret_of(first: Scene) -> None:
    # Of small order: every shared secret with it is zero. Its owner's signature is right.
    key = replace(own_key(first, "birch", helping(first, "birch")), public_key=bytes(32))
    key = replace(key, signature=sign(helping(first, "birch"), epoch_key_bytes(key)))
    refused(first, first.sealed(with_key(first, key)), "ForgedMessage", "the epoch key of 'birch' is not a usable", workbench=Lazy)


class Lazy:
    """Fails the test if an institution works for a request that it then refuses."""

    def __init__(self, site: InstitutionSite) -> None:
        pass

    def perform(self, work: Any, blob: bytes, round_number: int) -> SmallContribution:
        raise AssertionError("it has worked for nothing")


def test_a_member_who_is_not_on_the_roster(first: Scene) -> None:
    request, mallory = first.opened(), own_key(first, "mallory", first.coordinator.identity)
    longer = replace(request.plan, cohort=tuple(sorted((*request.plan.cohort, "mallory"))), threshold=4)
    for plan, sentence in ((longer, "holds mallory, who are not on the pinned"), (request.plan, "'mallory' is not on the pinned roster")):
        refused(first, first.sealed(TrainRequest(plan, (*request.keys, mallory))), "WrongRoster", sentence, workbench=Lazy)


def test_another_roster(first: Scene) -> None:
    plan = replace(first.opened().plan, roster_digest=b"\1" * 32)
    refused(
        first, first.sealed(TrainRequest(plan, first.opened().keys)), "WrongRoster", "institution 'ash' refused round 1: .* another roster"
    )
    refused(first, first.sealed(OpenRequest("trial", 2, b"\1" * 32)), "WrongRoster", "institution 'ash' refused epoch 2: .* another roster")


# Plans


def body(plan: Plan, **changed: Any) -> bytes:
    table = json.loads(plan.body)
    return json.dumps({**table, **changed}).encode()


LOWERED: dict[str, tuple[Callable[[Plan], Mapping[str, Any]], str, str]] = {
    "threshold": (lambda plan: {"threshold": plan.threshold - 1}, "IllegalPlan", "threshold of 3 .* round 3 needs 4"),
    "threshold and collusion": (
        lambda plan: {"threshold": 3, "collusion": 0},
        "PolicyRefusal",
        "institution 'ash' refused round 3: the plan withstands 0 colluding institutions, it wants 1",
    ),
    "cohort": (
        lambda plan: {"cohort": ("ash", "birch"), "threshold": threshold_for(2, 1)},
        "PolicyRefusal",
        "institution 'ash' refused round 3: cohort of 2 is below its own smallest cohort 3",
    ),
    "clip": (
        lambda plan: {"clip_norm": 10.5},
        "PolicyRefusal",
        "institution 'ash' refused round 3: clip norm 10.5 is above its own longest clip norm 10",
    ),
    "rounds": (lambda plan: {"round": 1001}, "PolicyRefusal", "institution 'ash' refused round 1001: it takes part in at most 1000 rounds"),
    "headroom": (lambda plan: {"weight_cap": 2**62}, "IllegalPlan", "round 3 cannot be encoded: a weight cap"),
    "ring": (lambda plan: {"layout": replace(plan.layout, width=64)}, "IllegalPlan", "round 3 cannot be encoded: a ring of 64 bits"),
    "counters": (
        lambda plan: {"layout": replace(plan.layout, counters=plan.layout.counters + 1)},
        "PolicyRefusal",
        "institution 'ash' refused round 3: the work 'train' has 9 counters in its task, not 10",
    ),
    "no update": (
        lambda plan: {"layout": replace(plan.layout, update_words=0)},
        "PolicyRefusal",
        "institution 'ash' refused round 3: the work 'train' does not go with an update of 0 words",
    ),
    "epochs of training": (
        lambda plan: {"body": body(plan, training={"epochs": 101})},
        "PolicyRefusal",
        "institution 'ash' refused round 3: 101 local epochs are more than its own 100",
    ),
    "a work of another kind": (
        lambda plan: {"body": b'{"kind":"send-records"}'},
        "IllegalPlan",
        "round 3 asks for a work that this release",
    ),
    "cohort without it": (
        lambda plan: {"cohort": plan.cohort[1:], "threshold": threshold_for(4, 1), "share_threshold": threshold_for(4, 1)},
        "IllegalPlan",
        "institution 'ash' refused round 3: it is not in the cohort birch, cedar, elm, fir",
    ),
    "an earlier round": (lambda plan: {"round": 2}, "ReplayedRound", "another train request for round 2 of epoch 1 was answered already"),
    "a round before the first": (lambda plan: {"round": 0}, "ReplayedRound", "round 0 of run trial is not above round 2"),
    "another epoch": (lambda plan: {"epoch": 2}, "LostEpoch", "institution 'ash' has no keys for epoch 2 of run trial"),
    "another run": (lambda plan: {"run": "other"}, "LostEpoch", "institution 'ash' has no keys for epoch 1 of run other"),
    "another model": (
        lambda plan: {"blob_digest": b"\1" * 32},
        "ForgedMessage",
        "what came is neither the model that the plan names nor a delta to it",
    ),
    "an epoch beyond counting": (lambda plan: {"epoch": 2**63}, "ProtocolError", "a train request names epoch 9223372036854775808"),
}


@pytest.mark.parametrize("what", LOWERED)
def test_a_plan_that_lowers_or_changes_something(what: str, training: Scene) -> None:
    change, code, sentence = LOWERED[what]
    request = training.opened()
    plan = replace(request.plan, **change(request.plan))
    refused(training, training.sealed(TrainRequest(plan, request.keys)), code, sentence, workbench=Lazy)


def test_a_plan_for_a_longer_vector_than_the_student(training: Scene) -> None:
    request = training.opened()
    plan = replace(request.plan, layout=replace(request.plan.layout, update_words=2**31))
    sentence = r"an update of shape \(37,\) does not go into round 3, which has 2147483648 words"
    refused(training, training.sealed(TrainRequest(plan, request.keys)), "IllegalVector", sentence)


def test_an_epoch_beyond_counting_is_not_opened(training: Scene) -> None:
    refused(training, training.sealed(OpenRequest("trial", 2**63, training.coordinator.roster.digest)), "ProtocolError", "names epoch")


@pytest.mark.parametrize("run", ["", "r" * 201, "two\nlines", "a\x1b[2Kb"])
def test_a_run_whose_name_would_garble_a_log(run: str, training: Scene) -> None:
    # Its name stands in sentences that operators read, at both ends.
    refused(training, training.sealed(OpenRequest(run, 1, training.coordinator.roster.digest)), "ProtocolError", "a run's name that is")


# Replays


def test_a_round_number_with_another_plan(training: Scene, tmp_path: Path) -> None:
    here = copied(training, tmp_path)
    request = here.opened()
    assert isinstance(here.ask("ash", here.requests["ash"]), Reply)
    changes: list[dict[str, Any]] = [{"clip_norm": 2.0}, {"weight_cap": 50}, {"cohort": NAMES[:4]}, {"body": body(request.plan, seed=4)}]
    for changed in changes:
        other = here.sealed(TrainRequest(replace(request.plan, **changed), request.keys))
        refused(here, other, "ReplayedRound", "another train request for round 3 of epoch 1 was answered already", workbench=Lazy)
    model = here.requests["ash"].blob + b"\0"
    other = here.sealed(TrainRequest(replace(request.plan, blob_digest=hashlib.sha256(model).digest()), request.keys), model)
    refused(here, other, "ReplayedRound", "another train request for round 3 of epoch 1 was answered already", workbench=Lazy)


def test_requests_that_are_played_again(tmp_path: Path) -> None:
    federation = made(tmp_path)
    wire = run_tapped(federation).wire
    said = [(request, answer) for (name, request), (_, answer) in zip(to("ash", wire.requests), to("ash", wire.answers), strict=True)]
    here = Scene(federation, {})
    newest = max(request.round for request, _ in said)
    for request, answer in said:
        if request.round == 0 or request.round > newest - ROUNDS_KEPT:
            assert here.ask("ash", request, Lazy) == answer, "the stored answer, byte for byte: it tells nothing new"
        else:
            refused(here, request, "ReplayedRound", rf"round {request.round}\b", workbench=Lazy)


def to(name: str, passed: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(institution, message) for institution, message in passed if institution == name]


def test_a_request_for_another_institution_or_another_kind(unmasking: Scene) -> None:
    refused(
        unmasking, unmasking.requests["birch"], "WrongShare", "the shares for 'ash' in round 3 are not those of its surviving neighbours"
    )
    for kind in ("open", "train", "agree"):
        refused(unmasking, replace(unmasking.requests["ash"], kind=kind), "ForgedMessage", f"the {kind} request does not carry its owner's")


@pytest.mark.parametrize("signer", ["birch", "ash"])
def test_a_request_that_the_coordinator_did_not_sign(signer: str, unmasking: Scene) -> None:
    header = seal_request("unmask", to_wire(unmasking.opened()), helping(unmasking, signer))
    refused(unmasking, Request("unmask", header), "ForgedMessage", "the unmask request does not carry its owner's signature")


# Surviving sets


@pytest.mark.parametrize(
    ("survivors", "code", "sentence"),
    [
        (NAMES[1:], "EquivocatedSet", "institution 'ash' refused the surviving set of round 3: it is not in the set itself"),
        (NAMES[:3], "IllegalPlan", "institution 'ash' refused the surviving set of round 3: 3 survivors are fewer than 4"),
        ((), "EquivocatedSet", "institution 'ash' refused"),
        (NAMES[:COUNT], "EquivocatedSet", "the whole cohort of round 3 was signed with the masked update"),
        (("ash", "birch", "cedar", "mallory"), "EquivocatedSet", "institution 'ash' refused .* not a set of names within the cohort"),
        (("birch", "ash", "cedar", "elm"), "EquivocatedSet", "institution 'ash' refused .* not a set of names"),
    ],
)
def test_a_surviving_set_that_nobody_may_sign(agreeing: Scene, survivors: tuple[str, ...], code: str, sentence: str) -> None:
    refused(agreeing, agreeing.sealed(AgreeRequest(agreeing.opened().plan, survivors)), code, sentence)


def test_different_sets_for_two_groups(agreeing: Scene, tmp_path: Path) -> None:
    # Half of them sign that fir was lost, half that elm was. No set has the four signatures that it needs.
    here = copied(agreeing, tmp_path)
    plan = here.opened().plan
    sets = (("ash", "birch", "cedar", "elm"), ("ash", "birch", "cedar", "fir"))
    signed: dict[tuple[str, ...], int] = dict.fromkeys(sets, 0)
    for name in ("ash", "birch", "cedar"):
        mine, other = sets if name == "ash" else sets[::-1]
        assert isinstance(here.ask(name, here.sealed(AgreeRequest(plan, mine))), Reply)
        signed[mine] += 1
        sentence = "another agree request for round 3 of epoch 1 was answered already"
        refused(here, here.sealed(AgreeRequest(plan, other)), "ReplayedRound", sentence, name=name)
    assert max(signed.values()) < plan.threshold


# Shares


def test_an_unproven_set(unmasking: Scene, whole: Scene) -> None:
    request: UnmaskRequest = unmasking.opened()
    fewer = dict(list(request.agreements.items())[:3])
    refused(
        unmasking,
        unmasking.sealed(replace(request, agreements=fewer)),
        "UnprovenSet",
        "'ash' refused to unmask round 3: 3 signatures .* 4 are",
    )
    forged = dict.fromkeys(request.survivors, sign(unmasking.coordinator.identity, agreement_bytes(round_context(request.plan), SURVIVORS)))
    refused(unmasking, unmasking.sealed(replace(request, agreements=forged)), "ForgedMessage", "the agreement on round 3 of 'ash'")
    everyone: UnmaskRequest = whole.opened()
    fewer = dict(list(everyone.agreements.items())[:4])
    refused(
        whole,
        whole.sealed(replace(everyone, agreements=fewer)),
        "UnprovenSet",
        "'ash' refused to unmask round 3: 4 signatures .* 5 are needed",
    )


@pytest.mark.parametrize("survivors", [("ash", "birch"), ("ash", "cedar", "elm"), ("ash", "birch", "cedar")])
def test_every_institution_is_shown_another_small_set(unmasking: Scene, survivors: tuple[str, ...]) -> None:
    request: UnmaskRequest = unmasking.opened()
    shares = {name: request.shares[name] for name in survivors if name != "ash"}
    sentence = "institution 'ash' refused the surviving set of round 3: . survivors are fewer than 4"
    refused(unmasking, unmasking.sealed(replace(request, survivors=survivors, shares=shares)), "IllegalPlan", sentence)


def test_both_kinds_of_share(unmasking: Scene, tmp_path: Path) -> None:
    here = copied(unmasking, tmp_path)
    request: UnmaskRequest = here.opened()
    assert isinstance(here.ask("ash", here.requests["ash"]), Reply)
    # fir is lost; now it is to be alive. The coordinator has everyone's signature over the whole cohort, fir's included.
    content = agreement_bytes(round_context(request.plan), request.plan.cohort)
    proofs = {name: sign(helping(here, name), content) for name in request.plan.cohort}
    alive = replace(request, survivors=request.plan.cohort, agreements=proofs, shares={**request.shares, LOST: request.shares["birch"]})
    refused(here, here.sealed(alive), "ReplayedRound", "another unmask request for round 3 of epoch 1 was answered already")


def test_the_other_kind_of_share_before_any_is_given(unmasking: Scene) -> None:
    # ash has signed that fir is lost, so it gives nothing for a set with fir in it, whoever else signed that.
    request: UnmaskRequest = unmasking.opened()
    content = agreement_bytes(round_context(request.plan), request.plan.cohort)
    proofs = {name: sign(helping(unmasking, name), content) for name in request.plan.cohort}
    alive = replace(request, survivors=request.plan.cohort, agreements=proofs, shares={**request.shares, LOST: request.shares["birch"]})
    sentence = "institution 'ash' has signed the surviving set ash, birch, cedar, elm for round 3 and refuses another"
    refused(unmasking, unmasking.sealed(alive), "EquivocatedSet", sentence)


def test_shares_that_are_moved_mixed_up_or_changed(unmasking: Scene) -> None:
    request: UnmaskRequest = unmasking.opened()
    for_birch: UnmaskRequest = unmasking.opened("birch")
    moved = {**request.shares, "cedar": for_birch.shares["cedar"]}
    mixed = {**request.shares, "cedar": request.shares["elm"]}
    changed = {**request.shares, "cedar": flipped(request.shares["cedar"], 77)}
    for shares in (moved, mixed, changed):
        sentence = "the share that 'cedar' is said to have sealed to 'ash' does not open in this round"
        refused(unmasking, unmasking.sealed(replace(request, shares=shares)), "WrongShare", sentence)
    for shares in ({"birch": request.shares["birch"]}, {**request.shares, LOST: request.shares["birch"]}):
        sentence = "the shares for 'ash' in round 3 are not those of its surviving neighbours, each once"
        refused(unmasking, unmasking.sealed(replace(request, shares=shares)), "WrongShare", sentence)


# What an institution itself would send


class Odd:
    """A contribution that training or counting should not give."""

    update = np.zeros(SIZE, np.float32)
    counters = np.zeros(9, np.int64)
    weight = 10

    def __init__(self, site: InstitutionSite) -> None:
        pass

    def perform(self, work: Any, blob: bytes, round_number: int) -> SmallContribution:
        return SmallContribution(self.update, self.weight, self.counters)


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"update": np.full(SIZE, np.nan, np.float32)}, "the update for round 3 holds a NaN or an infinity"),
        ({"update": np.append(np.zeros(SIZE - 1, np.float32), np.float32(np.inf))}, "the update for round 3 holds a NaN or an infinity"),
        ({"update": np.zeros(SIZE + 1, np.float32)}, r"an update of shape \(38,\) does not go into round 3"),
        ({"update": np.zeros((SIZE, 1), np.float32)}, r"an update of shape \(37, 1\) does not go into round 3"),
        ({"weight": 0}, "a sample weight of 0 is not between 1 and the cap"),
        ({"counters": np.zeros(10, np.int64)}, "round 3 takes 9 counters"),
        ({"counters": np.full(9, -1)}, "a counter of round 3 is above"),
        ({"counters": np.full(9, 2**62)}, "a counter of round 3 is above"),
    ],
)
def test_a_contribution_that_must_not_leave(odd: dict[str, Any], sentence: str, training: Scene) -> None:
    refused(training, training.requests["ash"], "IllegalVector", sentence, workbench=type("Bench", (Odd,), odd))


# Nothing was spent


@pytest.mark.parametrize("name", ["first", "training", "whole"])
def test_the_run_goes_on_as_if_nothing_had_been(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    here = copied(request.getfixturevalue(name), tmp_path)
    assert all(isinstance(here.ask(institution, true), Reply) for institution, true in here.requests.items())
    assert digest_of(here.finish()) == undisturbed(COUNT, 2)


@pytest.mark.parametrize("name", ["agreeing", "unmasking"])
def test_a_round_with_one_lost_goes_on_too(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    here = copied(request.getfixturevalue(name), tmp_path)
    result = here.finish()
    assert [record.survivors for record in result.rounds[2:4]] == [SURVIVORS, NAMES[:COUNT]]
