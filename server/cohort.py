"""Who takes part in the next round: members of the epoch that can be reached now, if they are enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from server.records import Epoch
from server.stopping import StopSignal
from shared.config import AggregationSettings
from shared.errors import RunError
from shared.exchange import Exchange
from shared.secagg.roster import Roster

PATIENCE_S = 60.0
"""How long a run waits at its start for the whole roster once enough institutions are there."""
LOOK_S = 0.5
"""Seconds between two looks who can be reached."""


@dataclass(frozen=True)
class Gathering:
    """Waits until enough institutions can be reached, and chooses a round's cohort."""

    exchange: Exchange
    roster: Roster
    settings: AggregationSettings
    stop: StopSignal
    clock: Callable[[], float] = time.monotonic

    def wait(self, *, everyone: bool = False) -> None:
        """Waits, at most the round's deadline, until the smallest cohort can be reached; ``everyone``: a while for the rest too.

        Raises :class:`RunError` that names who is missing, :class:`~server.stopping.Interrupted` when asked to stop.
        """
        began = self.clock()
        while True:
            missing = self._missing()
            waited = self.clock() - began
            enough = len(self.roster.members) - len(missing) >= self.settings.smallest_cohort
            if not missing or (enough and not (everyone and waited < min(PATIENCE_S, self.settings.deadline_s))):
                return
            if waited >= self.settings.deadline_s:
                raise self._too_few(len(self.roster.members) - len(missing), missing)
            self.stop.wait(LOOK_S)

    def cohort(self, epoch: Epoch) -> tuple[str, ...]:
        """The members of the epoch that can be reached now, in order of names. Raises :class:`RunError` if they are too few."""
        present = tuple(sorted(self.exchange.institutions() & set(epoch.keys)))
        if len(present) < self.settings.smallest_cohort:
            raise self._too_few(len(present), tuple(sorted(set(self.roster.members) - set(present))), {**epoch.refused, **epoch.pending})
        return present

    def _missing(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.roster.members) - self.exchange.institutions()))

    def _too_few(self, present: int, missing: tuple[str, ...], refused: dict[str, str] | None = None) -> RunError:
        said = "".join(f"; {reason}" for reason in (refused or {}).values())
        return RunError(
            f"only {present} of {len(self.roster.members)} institutions can take part and a round needs {self.settings.smallest_cohort} "
            f"(aggregation.smallest_cohort); missing: {', '.join(missing)}{said}; start the run again when they can be reached"
        )
