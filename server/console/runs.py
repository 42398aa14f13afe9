"""The page of the runs, and what all pages about runs are read from: pictures and records, kept while nothing new has happened."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from server.picture import Picture
from server.records import RoundRecord
from server.site import CoordinatorSite
from shared.errors import MissingFileError
from shared.frozen import Frozen
from shared.printable import one_line

MOST_KEPT = 64
"""Runs whose newest picture is kept."""
AT_ONCE = 2000
"""Events that are in memory at a time: a long run has hundreds of thousands."""
A_PAGE = 25
"""Runs on one page."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RunLine(Frozen):
    """One run. ``link`` is its name in an address; ``status`` is ``planned`` before its first event. Times are seconds since 1970."""

    run: str
    link: str
    status: str
    phase: str = ""
    training_round: int | None = None
    rounds: int = 0
    closed: int = 0
    void: int = 0
    institutions: int = 0
    began: float | None = None
    newest: float | None = None
    has_artifact: bool = False


class RunsPage(Frozen):
    """The runs, the one in which something happened last first; ``page`` counts from 1."""

    title: str = "Runs"
    runs: tuple[RunLine, ...]
    page: int
    pages: int


@dataclass
class _Kept:
    picture: Picture = field(default_factory=Picture)
    seen: int = 0
    records: tuple[RoundRecord, ...] = ()
    records_at: int = -1


class RunReader:
    """Reads runs from the store. Safe to use from several threads; what it keeps is never given away."""

    def __init__(self, site: CoordinatorSite) -> None:
        self._site, self._lock = site, threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def names(self) -> tuple[str, ...]:
        """Runs that have begun, and those that are planned only."""
        return tuple(sorted({*self._site.store.runs(), *self._site.plans()}))

    def named(self, link: str) -> str:
        """The run of an address; raises :class:`MissingFileError`. Looked up, never put together with a folder."""
        for run in self.names():
            if link_of(run) == link:
                return run
        raise MissingFileError("there is no run of that name")

    def picture(self, run: str) -> Picture:
        """The run as its events tell it, up to the newest."""
        with self._lock:
            return copy.deepcopy(self._up_to_date(run).picture)

    def records(self, run: str) -> tuple[RoundRecord, ...]:
        """The records of the run's rounds; only those that were not settled are read again, and only where something has happened."""
        with self._lock:
            kept = self._up_to_date(run)
            if kept.records_at != kept.seen:
                settled = tuple(itertools.takewhile(lambda record: record.status != "open", kept.records))
                since = settled[-1].number + 1 if settled else 0
                kept.records, kept.records_at = (*settled, *self._site.store.records(run, since)), kept.seen
                for other in self._kept.values():
                    if other is not kept:
                        other.records, other.records_at = (), -1
            return kept.records

    def line(self, run: str) -> RunLine:
        """One line about a run."""
        span, status, picture = self._site.store.span(run), self._site.store.run_status(run), self.picture(run)
        finished = status is not None and status[0] == "finished"
        return RunLine(
            run=one_line(run),
            link=link_of(run),
            status="finished" if finished else picture.state if status is not None else "planned",
            phase=picture.phase,
            training_round=picture.training_round,
            rounds=picture.rounds,
            closed=picture.closed,
            void=picture.void,
            institutions=len(picture.members),
            began=span.first,
            newest=span.last,
            has_artifact=status is not None and bool(status[1]),
        )

    def page(self, number: int = 1) -> RunsPage:
        """Page ``number`` of the runs; the last one where there are fewer."""
        newest = {run: self._site.store.span(run).newest for run in self.names()}
        runs = sorted(newest, key=lambda run: (-newest[run], run))
        pages = max(1, -(-len(runs) // A_PAGE))
        chosen = min(max(1, number), pages)
        shown = runs[A_PAGE * (chosen - 1) : A_PAGE * chosen]
        return RunsPage(runs=tuple(self.line(run) for run in shown), page=chosen, pages=pages)

    def _up_to_date(self, run: str) -> _Kept:
        kept = self._kept.setdefault(run, _Kept())
        self._kept.move_to_end(run)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        while events := self._site.store.events(run, kept.seen, AT_ONCE):
            for sequence, _, event in events:
                kept.picture.see(event)
                kept.seen = sequence
        return kept


def link_of(run: str) -> str:
    """A run's name in an address: itself where it is plain, else a digest of it: the gateway lets through nothing that needs escapes."""
    return run if _PLAIN.fullmatch(run) else f"run-{hashlib.sha256(run.encode(errors='replace')).hexdigest()[:24]}"
