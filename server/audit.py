"""What the coordinator writes down: who is enrolled, what was planned, how each round ended, what was signed and what it cost.

Figures of one institution are not in it, as they are nowhere here: names, sizes, digests, sentences and sums over cohorts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from server.events import BudgetSpent, EpochOpened, Event, PrivacyStated, RunFinished, RunStarted, RunStopped
from server.records import RoundRecord, StoredRound
from server.site import CoordinatorSite
from shared.audit.chain import COORDINATOR, Entry
from shared.audit.facts import plan_facts
from shared.audit.fields import table, text, whole
from shared.audit.last import last_of
from shared.audit.verify import verify
from shared.audit.writer import AuditLog
from shared.errors import MissingFileError
from shared.identity import public_bytes
from shared.rpc.codec import from_wire
from shared.secagg.messages import TrainRequest

TOLD = (RunStarted, PrivacyStated, BudgetSpent, EpochOpened, RunFinished, RunStopped)
"""Events that are written down as they are."""


@dataclass(frozen=True)
class CoordinatorAudit:
    """The audit of a coordinator's folder, in its ``audit/``. Every method raises as :meth:`AuditLog.append` does."""

    site: CoordinatorSite

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.site.folder / "audit"

    @cached_property
    def _log(self) -> AuditLog:
        return AuditLog(self.folder, COORDINATOR, self.site.identity)

    def entries(self) -> tuple[Entry, ...]:
        """Everything that is written down so far, verified; raises as :func:`~shared.audit.verify.verify`, but not if there is none yet."""
        try:
            return verify(self.folder, public_bytes(self.site.identity)).entries
        except MissingFileError:
            return ()

    def roster(self) -> None:
        """Who has come, gone or changed a key since the last time; nothing where nobody has."""
        roster = self.site.roster
        now = {name: hashlib.sha256(key).hexdigest() for name, key in sorted(roster.members.items())}
        last = last_of(self.folder, "roster", public_bytes(self.site.identity))
        before: Mapping[str, str] = table(last, "members") if last is not None else {}
        if last is not None and text(last, "roster_sha256") == roster.digest.hex():
            return
        self._log.append(
            "roster",
            roster_sha256=roster.digest.hex(),
            members=now,
            enrolled=sorted(set(now) - set(before)),
            removed=sorted(set(before) - set(now)),
            other_keys=sorted(name for name in set(now) & set(before) if now[name] != before[name]),
        )

    def membership(self, event: str, institution: str, **detail: object) -> None:
        """Somebody was invited, joined, renewed its certificate, was revoked, or was refused with an invitation in hand."""
        self._log.append("membership", event=event, institution=institution, **detail)

    def told(self, run: str, event: Event) -> None:
        """Writes an event down, if it is one of :data:`TOLD`."""
        if isinstance(event, TOLD):
            self._log.append(event.kind, **{"run": run, **event.model_dump(mode="json", exclude={"kind"})})

    def planned(self, stored: StoredRound, *, resumed: bool) -> None:
        """A round is about to be asked, or asked again after a stop."""
        plan = from_wire(TrainRequest, stored.plan).plan
        self._log.append("plan", **plan_facts(plan), phase=stored.record.phase, attempt=stored.record.attempt, resumed=resumed)

    def settled(self, run: str, record: RoundRecord, *, epsilon: float | None, late: bool = False) -> None:
        """A round is closed or void; ``late`` if the coordinator died before it could say so."""
        facts = record.model_dump(mode="json", exclude={"number", "counters", "seconds", "lost_epoch"})
        cost = {} if epsilon is None else {"epsilon_spent": epsilon}
        self._log.append("round", run=run, round=record.number, late=late, **facts, **cost)

    def catch_up(self, run: str, records: Sequence[RoundRecord]) -> None:
        """Writes down the settled rounds that are in the store and, after a kill, not here."""
        here = {whole(entry, "round") for entry in self.entries() if entry.kind == "round" and text(entry, "run") == run}
        for record in records:
            if record.status != "open" and record.number not in here:
                self.settled(run, record, epsilon=None, late=True)

    def published(self, run: str, artifact: Path, gate: Mapping[str, Any], *, epsilon: float | None) -> None:
        """An artifact was signed; ``gate`` are the counts that it passed with."""
        files = {str(path.relative_to(artifact)): _file_digest(path) for path in sorted(artifact.rglob("*")) if path.is_file()}
        cost = {} if epsilon is None else {"epsilon_spent": epsilon}
        self._log.append("artifact", run=run, path=str(artifact.relative_to(self.site.folder)), files=files, gate=dict(gate), **cost)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
