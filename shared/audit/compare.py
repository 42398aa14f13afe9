"""Two sides' audits held against each other: what one says it sent, the other says it got.

Both write down the SHA-256 of every answer. So whoever takes lines out of its own audit, with its own key, would have to change
the other side's too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.audit.chain import COORDINATOR, Entry, institution_side
from shared.audit.fields import as_table, as_text, table, text, texts, whole
from shared.audit.verify import Trail
from shared.errors import ConfigError
from shared.printable import one_line


class Exchanged(NamedTuple):
    """One answer: of which run, epoch, round and stage, and its SHA-256."""

    run: str
    epoch: int
    round: int
    stage: str
    sha256: str


def compare(coordinator: Trail, institution: Trail) -> tuple[str, ...]:
    """What does not fit, one sentence each; empty if both tell the same.

    An answer that the coordinator never got is no contradiction while its round is open or void, or the institution is among the
    absent. Raises :class:`ConfigError` unless the trails are a coordinator's and an institution's, :class:`AuditError` for a line that
    is signed and not as this release writes it.
    """
    name = institution.side.removeprefix(institution_side(""))
    if coordinator.side != COORDINATOR or institution.side != institution_side(name):
        raise ConfigError("compare a coordinator's audit with an institution's: name the coordinator's folder first")
    given, got = set(answers_given(institution.entries)), set(answers_got(coordinator.entries, name))
    return (
        *_not_given(got - given, name),
        *_not_asked(given, coordinator.entries, name),
        *_left_out(given - got, coordinator.entries, name),
    )


def answers_given(entries: Iterable[Entry]) -> Iterator[Exchanged]:
    """The answers that an institution wrote down, each as often as it was given."""
    for entry in entries:
        if entry.kind in ("answered", "answered-again"):
            where = text(entry, "run"), whole(entry, "epoch"), whole(entry, "round")
            yield Exchanged(*where, text(entry, "stage"), text(entry, "answer_sha256"))


def answers_got(entries: Iterable[Entry], name: str) -> Iterator[Exchanged]:
    """The answers of ``name`` that a coordinator wrote down."""
    for entry in entries:
        if entry.kind == "round":
            where = text(entry, "run"), whole(entry, "epoch"), whole(entry, "round")
            for stage, digests in table(entry, "answers").items():
                if name in as_table(entry, "answers", digests):
                    yield Exchanged(*where, stage, as_text(entry, "answers", digests[name]))


def _not_given(missing: set[Exchanged], name: str) -> Iterator[str]:
    for one in sorted(missing):
        yield f"{_where(one)}: the coordinator has an answer of {name} that {name}'s audit does not have"


def _not_asked(given: set[Exchanged], entries: tuple[Entry, ...], name: str) -> Iterator[str]:
    planned = {(text(entry, "run"), whole(entry, "round")) for entry in entries if entry.kind == "plan"}
    for run, number in sorted({(one.run, one.round) for one in given if one.round} - planned):
        yield f"run {one_line(run)}, round {number}: {name} answered it, the coordinator's audit does not have its plan"


def _left_out(unknown: set[Exchanged], entries: tuple[Entry, ...], name: str) -> Iterator[str]:
    survived = {
        (text(entry, "run"), whole(entry, "round"))
        for entry in entries
        if entry.kind == "round" and text(entry, "status") == "closed" and name in texts(entry, "survivors")
    }
    for one in sorted(unknown):
        if (one.run, one.round) in survived and one.stage == "train":
            yield f"{_where(one)}: {name} says it answered other bytes than those that the coordinator counted"


def _where(one: Exchanged) -> str:
    return f"run {one_line(one.run)}, round {one.round}, {one_line(one.stage)}"
