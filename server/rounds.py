"""One round: ask Train, add what comes, settle who survived, unmask, finish.

Whatever is sent is on disk first. A round found open in the store is asked again with the identical headers (its model may
take another form, ``server/downlink.py``), and its surviving set, once written down, stays: an institution signs one set a
round, ever. Then a round either closes with a sum or is void, and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.downlink import RoundModel
from server.journal import Journal
from server.records import StoredRound
from server.store import Store
from shared.config import Downlink
from shared.errors import ProtocolError
from shared.exchange import Exchange, MessageKind, Reply, Request
from shared.rpc.codec import from_wire, join_masked, seal_request, to_wire
from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.errors import VoidRound
from shared.secagg.messages import Aggregate, Agreement, Shares, TrainRequest
from shared.secagg.roster import Roster

QUICK_STAGE_S = 180.0
"""Longest wait for stages in which nobody trains."""


@dataclass(frozen=True)
class Closed:
    """The round's sum."""

    aggregate: Aggregate


@dataclass(frozen=True)
class Void:
    """Nothing of the round can be used; ``reason`` is a sentence."""

    reason: str


Outcome = Closed | Void


@dataclass(frozen=True)
class RoundRunner:
    """Carries rounds of one run over an exchange."""

    run: str
    folder: Path
    exchange: Exchange
    store: Store
    identity: Ed25519PrivateKey
    roster: Roster
    deadline_s: float
    downlink: Downlink = "delta"

    def carry(self, stored: StoredRound, journal: Journal) -> Outcome:
        """Takes a round that is open in the store to its end. Bad answers are their senders' absences."""
        request = from_wire(TrainRequest, stored.plan)
        masking = CoordinatorRound(request.plan, request.keys, self.roster)
        try:
            self._train(masking, stored, journal)
            survivors = tuple(sorted(masking.close()))
            if journal.record.survivors and journal.record.survivors != survivors:
                return Void(f"of the surviving set {', '.join(journal.record.survivors)} only {', '.join(survivors)} answered again")
            journal.record = journal.record.model_copy(update={"survivors": survivors})
            if not masking.whole:
                self._agree(masking, journal)
            self._unmask(masking, journal)
            return Closed(masking.finish())
        except VoidRound as error:
            return Void(str(error))

    def _train(self, masking: CoordinatorRound, stored: StoredRound, journal: Journal) -> None:
        model = RoundModel.read(self.folder, stored, self._since_the_version_before(stored))
        headers = self._sent("train", journal)
        if journal.record.survivors:
            headers = {name: headers[name] for name in journal.record.survivors}
        whole = self._requests("train", headers, journal, model.content)
        packed = {name: replace(request, blob=model.blob_for(name)) for name, request in whole.items()}
        for name, reply in journal.ask(self.exchange, "train", packed, self.deadline_s, whole):
            try:
                masked = join_masked(reply.header, reply.blob)
                _must_be(name, masked.institution)
                masking.add(masked)
            except ProtocolError as error:
                journal.absent(name, "train", f"its answer cannot be used: {error}")

    def _agree(self, masking: CoordinatorRound, journal: Journal) -> None:
        headers = self._sent("agree", journal)
        if not headers:
            sealed = seal_request("agree", to_wire(masking.agree_request()), self.identity)
            headers = self._keep("agree", dict.fromkeys(journal.record.survivors, sealed), journal)
        for name, reply in self._ask_quickly("agree", headers, journal):
            try:
                agreement = from_wire(Agreement, reply.header)
                _must_be(name, agreement.institution)
                masking.add_agreement(agreement)
            except ProtocolError as error:
                journal.absent(name, "agree", f"its answer cannot be used: {error}")

    def _unmask(self, masking: CoordinatorRound, journal: Journal) -> None:
        headers = self._sent("unmask", journal)
        if not headers:
            made = {name: to_wire(masking.unmask_request(name)) for name in journal.record.survivors}
            headers = self._keep("unmask", {name: seal_request("unmask", body, self.identity) for name, body in made.items()}, journal)
        for name, reply in self._ask_quickly("unmask", headers, journal):
            try:
                shares = from_wire(Shares, reply.header)
                _must_be(name, shares.institution)
                masking.add_shares(shares)
            except ProtocolError as error:
                journal.absent(name, "unmask", f"its answer cannot be used: {error}")

    def _ask_quickly(self, stage: MessageKind, headers: Mapping[str, bytes], journal: Journal) -> Iterator[tuple[str, Reply]]:
        return journal.ask(self.exchange, stage, self._requests(stage, headers, journal), min(self.deadline_s, QUICK_STAGE_S))

    def _since_the_version_before(self, stored: StoredRound) -> tuple[StoredRound, ...]:
        return self.store.rounds(self.run, since_version=stored.version - 1) if self.downlink == "delta" else ()

    def _sent(self, stage: MessageKind, journal: Journal) -> dict[str, bytes]:
        return self.store.requests(self.run, journal.record.epoch, journal.record.number, stage)

    def _keep(self, stage: MessageKind, headers: dict[str, bytes], journal: Journal) -> dict[str, bytes]:
        self.store.save_requests(self.run, journal.record, stage, headers)
        return headers

    def _requests(self, stage: MessageKind, headers: Mapping[str, bytes], journal: Journal, blob: bytes = b"") -> dict[str, Request]:
        return {name: Request(stage, header, blob, journal.record.number) for name, header in headers.items()}


def _must_be(asked: str, answered: str) -> None:
    if asked != answered:
        raise ProtocolError(f"it carries the name of '{answered}'")
