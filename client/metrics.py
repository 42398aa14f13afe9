"""What an institution counts, read from its own audit: answers, bytes and in which form, refusals, seconds, epsilon."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from shared.audit.chain import Entry
from shared.audit.tail import Tail
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
        """All families."""
        with self._lock:
            again, entries = self._tail.look()
            if again:
                self._forget()
            for entry in entries:
                self._count(entry)
            yield from list(self._families())

    def _forget(self) -> None:
        self._answers: Counter[Key] = Counter()
        self._refusals: Counter[Key] = Counter()
        self._sizes: Counter[Key] = Counter()
        self._left: Counter[Key] = Counter()
        self._seconds: dict[Key, float] = {}
        self._rounds: Counter[Key] = Counter()
        self._epsilon: dict[Key, float] = {}

    def _count(self, entry: Entry) -> None:
        fields = entry.fields
        match entry.kind:
            case "agreed":
                self._rounds[(fields["work"],)] += 1
            case "answered" | "answered-again":
                self._answers[fields["stage"], str(entry.kind == "answered-again").lower()] += 1
                self._seconds[(fields["stage"],)] = self._seconds.get((fields["stage"],), 0.0) + fields["seconds"]
                if "epsilon_spent" in fields:
                    self._epsilon[(f"{fields['delta']:g}",)] = fields["epsilon_spent"]
            case "refused":
                self._refusals[fields["stage"], fields["code"]] += 1
        for direction in ("up", "down"):
            self._sizes[(direction,)] += fields.get(f"bytes_{direction}", 0)
        for item in fields.get("left", ()):
            self._left[(item["form"],)] += item["bytes"]

    def _families(self) -> Iterator[Metric]:
        yield counter("fedstill_rounds_agreed", "Plans that passed the policy, by work.", ("work",), self._rounds.items())
        yield counter("fedstill_answers", "Answers given, by stage; again: the stored one.", ("stage", "again"), self._answers.items())
        yield counter("fedstill_refusals", "Messages that were refused, by stage and code.", ("stage", "code"), self._refusals.items())
        yield counter("fedstill_bytes", "Bytes to (up) and from (down) the coordinator.", ("direction",), self._sizes.items())
        yield counter("fedstill_left_bytes", "Bytes that left, by form: masked, sealed, clear.", ("form",), self._left.items())
        yield counter("fedstill_stage_seconds", "Seconds of work for answers, by stage.", ("stage",), self._seconds.items())
        yield gauge("fedstill_epsilon", "What all updates of all runs have cost, at delta.", ("delta",), self._epsilon.items())
        yield gauge("fedstill_connected", "Whether the coordinator can be reached now.", (), [((), float(self._connected()))])
