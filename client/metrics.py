"""What an institution counts, read from its own audit: answers, bytes and in which form, refusals, seconds, epsilon."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from shared.audit.chain import Entry
from shared.audit.fields import as_text, as_whole, number, tables, text, whole
from shared.audit.tail import Tail
from shared.errors import AuditError
from shared.metrics import counter, gauge

Key = tuple[str, ...]


class InstitutionMetrics:
    """Counts an audit as it grows; what is there already is counted at the first look. ``connected`` says how the service is."""

    def __init__(self, audit: Path, connected: Callable[[], bool]) -> None:
        self._tail = Tail(audit)
        self._connected = connected
        self._lock = threading.Lock()
        self._forget()

    def read(self) -> Iterator[Metric]:
        """All families; raises :class:`shared.errors.ResourceError` where the audit is there and cannot be read."""
        with self._lock:
            again, entries = self._tail.look()
            if again:
                self._forget()
            for entry in entries:
                self._count(entry)
            yield from list(self._families())

    def _forget(self) -> None:
        self._counts: defaultdict[str, defaultdict[Key, float]] = defaultdict(lambda: defaultdict(float))
        self._epsilon: dict[Key, float] = {}

    def _count(self, entry: Entry) -> None:
        try:
            found, spent = list(_counted(entry)), _spent(entry)
        except AuditError:
            return  # as a line that is none: for figures, not for proof
        for name, key, count in found:
            self._counts[name][key] += count
        self._epsilon |= spent

    def _families(self) -> Iterator[Metric]:
        counts = self._counts
        yield counter("fedstill_rounds_agreed", "Plans that passed the policy, by work.", ("work",), counts["rounds"].items())
        yield counter("fedstill_answers", "Answers given, by stage; again: the stored one.", ("stage", "again"), counts["answers"].items())
        yield counter("fedstill_refusals", "Messages that were refused, by stage and code.", ("stage", "code"), counts["refusals"].items())
        yield counter("fedstill_bytes", "Bytes to (up) and from (down) the coordinator.", ("direction",), counts["sizes"].items())
        yield counter("fedstill_left_bytes", "Bytes that left, by form: masked, sealed, clear.", ("form",), counts["left"].items())
        yield counter("fedstill_stage_seconds", "Seconds of work for answers, by stage.", ("stage",), counts["seconds"].items())
        yield gauge("fedstill_epsilon", "What all updates of all runs have cost, at delta.", ("delta",), self._epsilon.items())
        yield gauge("fedstill_connected", "Whether the coordinator can be reached now.", (), [((), float(self._connected()))])


def _counted(entry: Entry) -> Iterator[tuple[str, Key, float]]:
    """What a line adds to which count; raises :class:`AuditError` if it is not as this release writes it."""
    match entry.kind:
        case "agreed":
            yield "rounds", (text(entry, "work"),), 1
        case "answered" | "answered-again":
            stage = text(entry, "stage")
            yield "answers", (stage, str(entry.kind == "answered-again").lower()), 1
            yield "seconds", (stage,), number(entry, "seconds")
        case "refused":
            yield "refusals", (text(entry, "stage"), text(entry, "code")), 1
    for direction in ("up", "down"):
        yield "sizes", (direction,), whole(entry, f"bytes_{direction}") if f"bytes_{direction}" in entry.fields else 0
    for item in tables(entry, "left") if "left" in entry.fields else ():
        yield "left", (as_text(entry, "left", item.get("form")),), as_whole(entry, "left", item.get("bytes"))


def _spent(entry: Entry) -> dict[Key, float]:
    if entry.kind not in ("answered", "answered-again") or "epsilon_spent" not in entry.fields:
        return {}
    return {(f"{number(entry, 'delta'):g}",): number(entry, "epsilon_spent")}
