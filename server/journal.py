"""What happens in a round while it happens: kept for the store, told to whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from server.events import Event, InstitutionAbsent, InstitutionAnswered, InstitutionRefused
from server.records import RoundRecord
from shared.audit.facts import answer_digest
from shared.exchange import Absent, Exchange, MessageKind, Refusal, Reply, Request
from shared.secagg.errors import ForgedMessage, LostEpoch, MissingBase

LOST_EPOCH = LostEpoch.__name__
"""The refusal of an institution that needs a new epoch."""
WHOLE_HELPS = frozenset({MissingBase.__name__, ForgedMessage.__name__})
"""The refusals of an institution that does not hold a delta's base, or that got a delta damaged on its way."""

Emit = Callable[[Event], None]


@dataclass
class Journal:
    """One round's record as it fills. ``record`` is replaced, never changed, so that it can be stored at any time."""

    record: RoundRecord
    emit: Emit
    clock: Callable[[], float] = time.monotonic

    def ask(
        self,
        exchange: Exchange,
        stage: MessageKind,
        requests: Mapping[str, Request],
        deadline_s: float,
        whole: Mapping[str, Request] = MappingProxyType({}),
    ) -> Iterator[tuple[str, Reply]]:
        """Asks one stage and yields the replies; absences and refusals are written down.

        ``whole`` are the same requests with the whole model: whoever cannot use a shorter form is asked again at once.
        """
        began = self.clock()
        left = {name: request for name, request in whole.items() if request != requests[name]}
        for name, request in requests.items():
            self._sent(name, request)

        def again(name: str, refusal: Refusal) -> Request | None:
            request = left.pop(name, None) if refusal.code in WHOLE_HELPS else None
            if request is not None:
                self._sent(name, request)
            return request

        try:
            for name, answer in exchange.ask(requests, deadline_s, again):
                match answer:
                    case Reply():
                        self._answered(name, stage, answer, self.clock() - began)
                        yield name, answer
                    case Absent():
                        self.absent(name, stage, answer.reason)
                    case Refusal():
                        self._refused(name, stage, answer)
        finally:
            spent = self.record.seconds | {stage: self.record.seconds.get(stage, 0.0) + self.clock() - began}
            self.record = self.record.model_copy(update={"seconds": spent})

    def absent(self, name: str, stage: MessageKind, reason: str) -> None:
        """Writes down that an institution did not answer, or that its answer cannot be used."""
        self.record = self.record.model_copy(update={"absent": self.record.absent | {name: reason}})
        self.emit(InstitutionAbsent(number=self.record.number, institution=name, stage=stage, reason=reason))

    def _sent(self, name: str, request: Request) -> None:
        self._count("bytes_down", name, len(request.header) + len(request.blob))

    def _answered(self, name: str, stage: MessageKind, reply: Reply, seconds: float) -> None:
        size = len(reply.header) + len(reply.blob)
        self._count("bytes_up", name, size)
        digests = self.record.answers.get(stage, {}) | {name: answer_digest(reply)}
        self.record = self.record.model_copy(update={"answers": self.record.answers | {stage: digests}})
        self.emit(InstitutionAnswered(number=self.record.number, institution=name, stage=stage, bytes_up=size, seconds=seconds))

    def _refused(self, name: str, stage: MessageKind, refusal: Refusal) -> None:
        lost = (name,) if refusal.code == LOST_EPOCH else ()
        changed = {"refused": self.record.refused | {name: refusal.reason}, "lost_epoch": (*self.record.lost_epoch, *lost)}
        self.record = self.record.model_copy(update=changed)
        number = self.record.number
        self.emit(InstitutionRefused(number=number, institution=name, stage=stage, code=refusal.code, reason=refusal.reason))

    def _count(self, direction: str, name: str, size: int) -> None:
        counts: dict[str, int] = getattr(self.record, direction)
        self.record = self.record.model_copy(update={direction: counts | {name: counts.get(name, 0) + size}})
