"""What an institution does with a message: authenticate → policy → ledger → handler → audit.

Each middleware is ``(call, next) -> reply``. The handler at the end is plain: it takes an epoch's secrets as they are
on disk, changes them, and gives back both; the ledger stores answer and secrets in one transaction, and the audit says what
leaves, before anything does: no answer leaves that cannot be written down (a refusal does, and the log says so). Nothing is kept
in memory between two messages but configuration, keys and the warm workbench.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol, TypeAlias

import numpy as np
from pydantic import ValidationError

from client.approval import check_approved, check_within
from client.audit import InstitutionAudit
from client.budget import PrivacyGuard
from client.encoder import Contribution, Encoder
from client.ledger import LARGEST_NUMBER, EpochState, Slot
from client.lone_heads import check_own, check_owners
from client.policy import allowed_counters, check_plan
from client.residuals import ResidualStore
from client.site import InstitutionSite
from shared.errors import FedstillError, ProtocolError
from shared.exchange import MessageKind, Refusal, Reply, Request
from shared.logs import kind_and_place
from shared.rpc.codec import from_wire, open_request, split_masked, to_wire
from shared.secagg.errors import IllegalPlan, LostEpoch, ReplayedRound
from shared.secagg.institution import InstitutionEpoch
from shared.secagg.messages import AgreeRequest, OpenRequest, Plan, TrainRequest, UnmaskRequest
from shared.work import Work, parse_work

_LOG = logging.getLogger("fedstill.client")

Message: TypeAlias = OpenRequest | TrainRequest | AgreeRequest | UnmaskRequest
_DECODERS: dict[MessageKind, Callable[[bytes], Message]] = {
    "open": partial(from_wire, OpenRequest),
    "train": partial(from_wire, TrainRequest),
    "agree": partial(from_wire, AgreeRequest),
    "unmask": partial(from_wire, UnmaskRequest),
}


class Workbench(Protocol):
    """Does the work of a round on the local records (``client.training.Workbench``; tests bring a small one)."""

    def perform(self, work: Work, blob: bytes, round_number: int) -> Contribution:
        """Performs any kind of work; the same arguments give the same contribution."""
        ...


@dataclass(frozen=True)
class Call:
    """A message on its way through the chain; ``message`` and ``slot`` are filled in once it is authenticated."""

    request: Request
    digest: bytes
    message: Message | None = None
    slot: Slot | None = None

    @property
    def plan(self) -> Plan | None:
        """The round's plan; Open has none."""
        return None if self.message is None or isinstance(self.message, OpenRequest) else self.message.plan


Handler = Callable[[Call], Reply]
Middleware = Callable[[Call, Handler], Reply]


class InstitutionHandlers:
    """Answers the coordinator's messages for the institution of one folder. Give each institution its own object."""

    def __init__(
        self,
        site: InstitutionSite,
        workbench: Callable[[], Workbench],
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """``workbench`` is called at the first work and its result kept; ``random`` gives the secrets' bytes."""
        self._site = site
        self._make_workbench = workbench
        self._workbench: Workbench | None = None
        self._random = random
        chain: Handler = self._handle
        for middleware in (self._ledgered, self._agreed, self._authenticated):
            chain = partial(middleware, following=chain)
        self._chain = chain

    def answer(self, request: Request) -> Reply | Refusal:
        """The reply, or a typed refusal; never raises, and says nothing of what an unexpected error was about."""
        try:
            return self._chain(Call(request, _digest(request)))
        except FedstillError as error:
            _LOG.info("refused a %s message: %s", request.kind, error)
            refusal = Refusal(type(error).__name__, str(error))
        except Exception as error:
            _LOG.error("a %s message failed: %s", request.kind, kind_and_place(error))
            refusal = Refusal("InternalError", "the institution could not do its part; its operator finds the cause in its own log")
        self._note_refusal(request, refusal)
        return refusal

    # Middleware, outermost first

    def _authenticated(self, call: Call, following: Handler) -> Reply:
        request = call.request
        body = open_request(request.kind, request.header, self._site.roster.coordinator)
        message = _DECODERS[request.kind](body)
        return following(replace(call, message=message, slot=_slot(request.kind, message)))

    def _agreed(self, call: Call, following: Handler) -> Reply:
        assert call.slot is not None
        approved = check_approved(self._site.config, self._site.folder, call.slot.run)
        if call.plan is not None:
            work = _work(call.plan)
            if approved is not None:
                check_within(self._site.config, approved, call.plan, work)
            check_plan(self._site.config, call.plan, work)
            survivors = call.message.survivors if isinstance(call.message, AgreeRequest | UnmaskRequest) else call.plan.cohort
            check_owners(self._site.config, work, survivors, call.plan.round)
        return following(call)

    def _ledgered(self, call: Call, following: Handler) -> Reply:
        assert call.slot is not None
        began = time.monotonic()
        stored = self._site.ledger.answer(call.slot, call.digest)
        reply = stored if stored is not None else following(call)
        work = None if call.plan is None else _work(call.plan)
        seconds = time.monotonic() - began
        self._audit.answered(call.request, call.slot, call.plan, work, reply, seconds=seconds, again=stored is not None)
        return reply

    # The handlers

    def _handle(self, call: Call) -> Reply:
        assert call.slot is not None
        ledger, charge = self._site.ledger, None
        before = ledger.epoch(call.slot.run, call.slot.epoch)
        match call.message:
            case OpenRequest() as message:
                epoch, reply = self._open(message)
            case TrainRequest() as message:
                charge = self._guard.charge(message.plan, _work(message.plan))
                epoch, reply = self._train(self._restore(before, call.slot), message, call.request.blob)
            case AgreeRequest() as message:
                epoch = self._restore(before, call.slot)
                reply = Reply(to_wire(epoch.agree(message)))
            case UnmaskRequest() as message:
                epoch = self._restore(before, call.slot)
                reply = Reply(to_wire(epoch.unmask(message)))
            case None:
                raise AssertionError("a message reaches its handler only once it is authenticated")
        return ledger.record(call.slot, call.digest, reply, before, epoch.export(), charge)

    def _open(self, message: OpenRequest) -> tuple[InstitutionEpoch, Reply]:
        newest, _ = self._site.ledger.newest(message.run)
        if message.epoch <= newest:
            raise ReplayedRound(f"epoch {message.epoch} of run {message.run} is not above epoch {newest}, which is open already")
        epoch = InstitutionEpoch.open(
            institution=self._site.config.name,
            identity=self._site.identity,
            roster=self._site.roster,
            run=message.run,
            epoch=message.epoch,
            roster_digest=message.roster_digest,
            policy=self._site.protocol_policy,
            random=self._random,
        )
        return epoch, Reply(to_wire(epoch.key))

    def _train(self, epoch: InstitutionEpoch, message: TrainRequest, blob: bytes) -> tuple[InstitutionEpoch, Reply]:
        plan, config = message.plan, self._site.config
        _, newest = self._site.ledger.newest(plan.run)
        if plan.round <= newest:
            raise ReplayedRound(f"round {plan.round} of run {plan.run} is not above round {newest}, which was answered already")
        epoch.check(plan, message.keys)
        self._audit.agreed(plan)
        work = _work(plan)
        done = self._bench().perform(work, self._site.models.receive(blob, plan.blob_digest), plan.round)
        check_own(config, work, done.counters, plan.round)
        encoded = self._encoder.encode(plan, work, done)
        counters = allowed_counters(config, work, encoded.counters).astype(np.uint64)
        header, answer = split_masked(epoch.mask(plan, encoded.words, encoded.weight, counters))
        return epoch, Reply(header, answer)

    def _restore(self, before: EpochState, slot: Slot) -> InstitutionEpoch:
        if before.version == 0:
            raise LostEpoch(
                f"institution '{self._site.config.name}' has no keys for epoch {slot.epoch} of run {slot.run}; open a new epoch"
            )
        site = self._site
        return InstitutionEpoch.restore(
            before.state, identity=site.identity, roster=site.roster, policy=site.protocol_policy, random=self._random
        )

    @cached_property
    def _audit(self) -> InstitutionAudit:
        return InstitutionAudit(self._site)

    @cached_property
    def _guard(self) -> PrivacyGuard:
        return PrivacyGuard(self._site.config, self._site.protocol_policy, self._site.ledger)

    @cached_property
    def _encoder(self) -> Encoder:
        config = self._site.config
        return Encoder(config.name, config.seed, config.task, ResidualStore(self._site.folder / "state"), self._random)

    def _bench(self) -> Workbench:
        if self._workbench is None:
            self._workbench = self._make_workbench()
        return self._workbench

    def _note_refusal(self, request: Request, refusal: Refusal) -> None:
        # A refusal leaves although it cannot be written down: it is made of no record, and silence would look like an absence.
        try:
            self._audit.refused(request, self._place(request), refusal)
        except FedstillError as error:
            _LOG.error("the refusal of a %s message could not be written into the audit: %s", request.kind, error)
        except Exception as error:
            _LOG.error("the refusal of a %s message could not be written into the audit: %s", request.kind, kind_and_place(error))

    def _place(self, request: Request) -> Slot | None:
        # What a refused message was about, where the coordinator signed it and it can be read; what went wrong is told already.
        with suppress(Exception):
            body = open_request(request.kind, request.header, self._site.roster.coordinator)
            return _slot(request.kind, _DECODERS[request.kind](body))
        return None


def _digest(request: Request) -> bytes:
    # The header alone: its plan binds the model's digest, and the same model may come in another form when asked again.
    return hashlib.sha256(request.kind.encode() + b"\0" + hashlib.sha256(request.header).digest()).digest()


def _slot(kind: MessageKind, message: Message) -> Slot:
    if isinstance(message, OpenRequest):
        slot = Slot(message.run, message.epoch, 0, kind)
    else:
        slot = Slot(message.plan.run, message.plan.epoch, message.plan.round, kind)
    if max(slot.epoch, slot.round) > LARGEST_NUMBER:
        raise ProtocolError(f"a {kind} request names epoch {slot.epoch} and round {slot.round}; no ledger counts beyond {LARGEST_NUMBER}")
    return slot


def _work(plan: Plan) -> Work:
    try:
        return parse_work(plan.body)
    except ValidationError as error:
        raise IllegalPlan(f"round {plan.round} asks for a work that this release does not know; install the same release") from error
