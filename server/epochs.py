"""Epochs: who has a key. One is opened at the start, when an institution has lost its own, when members came, and when many left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.events import EpochOpened, Event
from server.records import Epoch
from server.store import Store
from shared.errors import ApprovalPending, ProtocolError
from shared.exchange import Exchange, Refusal, Reply, Request
from shared.rpc.codec import from_wire, seal_request, to_wire
from shared.secagg.graph import LARGEST_COMPLETE
from shared.secagg.keys import check_usable
from shared.secagg.messages import EpochKey, OpenRequest
from shared.secagg.roster import Roster
from shared.secagg.signing import verify_epoch_keys

OPEN_S = 120.0
"""Longest wait for the keys of an epoch."""
MOST_GONE = 0.1
"""The part of a sparse graph's members that may be gone before a new one is drawn."""
APPROVAL_S = 10.0
"""Seconds between two questions to institutions whose operators have yet to approve the run."""
MOST_OPENINGS = 3
"""Openings in a row before a run gives up because too few institutions give a key."""


@dataclass(frozen=True)
class EpochKeeper:
    """Gives the epoch for the next round and opens a new one where that is needed."""

    run: str
    exchange: Exchange
    store: Store
    identity: Ed25519PrivateKey
    roster: Roster
    deadline_s: float
    emit: Callable[[Event], None]
    wait: Callable[[float], None] = time.sleep

    def current(self, next_round: int, least: int) -> Epoch:
        """The epoch that ``next_round`` uses. One that was being opened when the coordinator died is asked again.

        Where fewer than ``least`` institutions gave a key and some did not answer at all, or are back since and were not asked, another is
        opened, :data:`MOST_OPENINGS` in all. Where operators have yet to approve the run, they are asked again until the deadline.
        """
        epoch = self._fitting(next_round)
        for _ in range(int(self.deadline_s / APPROVAL_S)):
            if len(epoch.keys) >= least or not epoch.pending:
                break
            self.wait(APPROVAL_S)
            epoch = self._collect(self._begin(epoch.number + 1, next_round))
        for _ in range(MOST_OPENINGS - 1):
            here = self.exchange.institutions() & set(self.roster.members)
            silent = (here | set(epoch.asked)) - set(epoch.keys) - set(epoch.refused)
            if len(epoch.keys) >= least or not silent:
                break
            epoch = self._collect(self._begin(epoch.number + 1, next_round))
        return epoch

    def _fitting(self, next_round: int) -> Epoch:
        epochs = self.store.epochs(self.run)
        if epochs and epochs[-1].status == "opening" and set(epochs[-1].asked) <= set(self.roster.members):
            return self._collect(epochs[-1])
        if epochs and not self._stale(epochs, next_round):
            return epochs[-1]
        return self._collect(self._begin(len(epochs) + 1, next_round))

    def _stale(self, epochs: Sequence[Epoch], next_round: int) -> bool:
        epoch, last = epochs[-1], self.store.newest_round(self.run)
        if any(from_wire(EpochKey, key).roster_digest != self.roster.digest for key in epoch.keys.values()):
            return True  # an institution was revoked since
        if last is not None and last.record.epoch == epoch.number and last.record.lost_epoch:
            return True
        # On a sparse graph members keep their places when they are gone: with many gaps too few shares, or no graph, are left.
        gone = set(epoch.keys) - self.exchange.institutions()
        if len(epoch.keys) > LARGEST_COMPLETE and len(gone) > MOST_GONE * len(epoch.keys):
            return True
        # Who did not answer at the last opening is asked again after 1, 2, 4, … rounds: each opening costs everyone a message.
        missing = self.exchange.institutions() & set(self.roster.members) - set(epoch.keys) - set(epoch.refused)
        return any(next_round - epoch.first_round >= 2 ** misses(epochs, name) for name in missing)

    def _begin(self, number: int, next_round: int) -> Epoch:
        asked = tuple(sorted(self.exchange.institutions() & set(self.roster.members)))
        request = OpenRequest(run=self.run, epoch=number, roster_digest=self.roster.digest)
        sealed = seal_request("open", to_wire(request), self.identity)
        epoch = Epoch(number=number, first_round=next_round, asked=asked)
        self.store.begin_epoch(self.run, epoch, dict.fromkeys(asked, sealed))
        return epoch

    def _collect(self, epoch: Epoch) -> Epoch:
        headers = self.store.requests(self.run, epoch.number, 0, "open")
        requests = {name: Request("open", header) for name, header in headers.items()}
        keys: dict[str, bytes] = {}
        taken: set[bytes] = set()
        refused: dict[str, str] = {}
        pending: dict[str, str] = {}
        for name, answer in self.exchange.ask(requests, min(self.deadline_s, OPEN_S)):
            if isinstance(answer, Refusal):
                (pending if answer.code == ApprovalPending.__name__ else refused)[name] = answer.reason
            key = self._key_of(name, epoch.number, answer.header) if isinstance(answer, Reply) else None
            if key is not None and key.public_key not in taken:
                keys[name] = to_wire(key)
                taken.add(key.public_key)
        opened = replace(epoch, status="open", keys=dict(sorted(keys.items())), refused=refused)
        self.store.open_epoch(self.run, opened)
        said = {**refused, **pending}
        absent = tuple(name for name in epoch.asked if name not in keys and name not in said)
        self.emit(EpochOpened(epoch=epoch.number, members=tuple(opened.keys), absent=absent, refused=said))
        return replace(opened, pending=pending)

    def _key_of(self, name: str, number: int, content: bytes) -> EpochKey | None:
        # What an institution would refuse in another's key is left out here: one bad key among them stops every round.
        try:
            key = from_wire(EpochKey, content)
            verify_epoch_keys([key], self.roster)
            check_usable(key)
        except ProtocolError:
            return None
        return key if (key.institution, key.run, key.epoch) == (name, self.run, number) else None


def misses(epochs: Sequence[Epoch], name: str) -> int:
    """In how many epochs in a row, up to the last, ``name`` was asked for a key and gave none."""
    count = 0
    for epoch in reversed(epochs):
        if name not in epoch.asked or name in epoch.keys:
            break
        count += 1
    return count
