"""The page of one run: where it is, its rounds, its plots, what it has cost, what the gate says, what was signed."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from server.console.artifact import ArtifactFacts, artifact_facts
from server.console.charts import Chart, charts_of
from server.console.plan import PlanFacts, plan_facts
from server.console.runs import RunLine, RunReader
from server.judged import Gate, gate_of
from server.picture import Picture
from server.planning import privacy_planner
from server.records import RoundRecord
from server.site import CoordinatorSite
from shared.config import FederationConfig
from shared.frozen import Frozen
from shared.printable import one_line

A_PAGE = 50
"""Rounds on one page."""


class MemberNow(Frozen):
    """An institution in the run: what it did last, bytes that came from it, rounds that it missed."""

    name: str
    doing: str
    bytes_up: int
    missed: int


class RoundLine(Frozen):
    """One round: who took part, who was absent or refused and with which sentence, bytes of all, seconds by stage, figures of sums."""

    number: int
    phase: str
    training_round: int | None
    attempt: int
    status: str
    participants: tuple[str, ...]
    cohort: int
    absent: dict[str, str]
    refused: dict[str, str]
    blamed: tuple[str, ...]
    reason: str
    bytes_up: int
    bytes_down: int
    seconds: dict[str, float]
    metrics: dict[str, float]


class Spent(Frozen):
    """What the run has cost each institution's privacy so far, of what may be spent at all its training rounds together."""

    spent: float
    epsilon: float
    delta: float


class RunPage(Frozen):
    """Everything about one run. ``rounds`` is page ``page`` of them, the newest round first; ``figures`` are the newest of each name."""

    title: str
    line: RunLine
    members: tuple[MemberNow, ...]
    figures: dict[str, float]
    happened: tuple[str, ...]
    rounds: tuple[RoundLine, ...]
    page: int
    pages: int
    charts: tuple[Chart, ...]
    privacy: Spent | None
    gate: Gate | None
    artifact: ArtifactFacts | None
    plan: PlanFacts | None


class OneRunReader:
    """Reads the page of a run from the store and the run's folder."""

    def __init__(self, site: CoordinatorSite, runs: RunReader) -> None:
        self._site, self._runs = site, runs

    def page(self, link: str, number: int = 1) -> RunPage:
        """The run whose address ends in ``link``, with page ``number`` of its rounds. Raises :class:`MissingFileError` if there is none."""
        run = self._runs.named(link)
        picture, records, status = self._runs.picture(run), self._runs.records(run), self._site.store.run_status(run)
        pages = max(1, -(-len(records) // A_PAGE))
        chosen = min(max(1, number), pages)
        return RunPage(
            title=f"Run {one_line(run)}",
            line=self._runs.line(run),
            members=_members(picture),
            figures=dict(sorted(picture.figures.items())),
            happened=tuple(map(one_line, picture.lines)),
            rounds=tuple(_line(record) for record in records[::-1][A_PAGE * (chosen - 1) : A_PAGE * chosen]),
            page=chosen,
            pages=pages,
            charts=charts_of(records),
            privacy=self._spent(run, records),
            gate=gate_of(self._site.store, run, records),
            artifact=artifact_facts(self._site.run_folder(run) / status[1]) if status is not None and status[1] else None,
            plan=plan_facts(self._site.plans().get(run), self._site.current_roster().coordinator),
        )

    def _spent(self, run: str, records: Sequence[RoundRecord]) -> Spent | None:
        """By the settings that the run was started with; they cannot be read where an older release wrote them."""
        kept = self._site.store.run_config(run)
        try:
            config = FederationConfig.parse(kept[0]) if kept is not None else None
        except ValidationError:
            return None
        planner = privacy_planner(config) if config is not None else None
        if planner is None:
            return None
        return Spent(spent=planner.spent(records), epsilon=planner.settings.epsilon, delta=planner.settings.delta)


def _members(picture: Picture) -> tuple[MemberNow, ...]:
    return tuple(
        MemberNow(name=one_line(name), doing=member.doing, bytes_up=member.bytes_up, missed=member.missed)
        for name, member in sorted(picture.members.items())
    )


def _line(record: RoundRecord) -> RoundLine:
    participants = record.survivors if record.status == "closed" else ()
    return RoundLine(
        number=record.number,
        phase=record.phase,
        training_round=record.training_round,
        attempt=record.attempt,
        status=record.status,
        participants=tuple(one_line(name) for name in participants),
        cohort=len(record.cohort),
        absent=_sentences(record.absent),
        refused=_sentences(record.refused),
        blamed=tuple(one_line(name) for name in record.blamed),
        reason=one_line(record.reason),
        bytes_up=sum(record.bytes_up.values()),
        bytes_down=sum(record.bytes_down.values()),
        seconds=dict(record.seconds),
        metrics=dict(record.metrics),
    )


def _sentences(said: dict[str, str]) -> dict[str, str]:
    return {one_line(name): one_line(sentence) for name, sentence in said.items()}
