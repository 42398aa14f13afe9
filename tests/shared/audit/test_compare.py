"""A side that takes lines out of its own audit, with its own key, is contradicted by the other's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shared.audit.chain import Entry
from shared.audit.compare import compare
from shared.audit.keys import open_audit
from shared.audit.verify import Trail
from shared.errors import AuditError, ConfigError
from tests.support.small import SmallFederation, make_federation

Pair = tuple[Trail, Trail]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> SmallFederation:
    def lost(institution: str, number: int, stage: str) -> object:
        return "after" if (institution, number, stage) == ("ash", 3, "train") else None

    federation = make_federation(tmp_path_factory.mktemp("run"), 4, rounds=2)
    federation.run(faults=lost)  # type: ignore[arg-type]
    return federation


@pytest.fixture
def pair(played: SmallFederation) -> Pair:
    return open_audit(played.coordinator), open_audit(played.institutions["ash"])


def without(trail: Trail, unwanted: Callable[[Entry], bool]) -> Trail:
    """The trail as a side with its own key could write it anew."""
    return replace(trail, entries=tuple(entry for entry in trail.entries if not unwanted(entry)))


def test_two_honest_sides_fit_although_an_answer_was_lost(pair: Pair, played: SmallFederation) -> None:
    assert compare(*pair) == ()
    assert compare(pair[0], open_audit(played.institutions["elm"])) == ()


def test_an_institution_that_denies_an_answer_is_contradicted(pair: Pair) -> None:
    coordinator, institution = pair
    denied = without(institution, lambda entry: entry.kind == "answered" and entry.fields["round"] == 4)
    assert compare(coordinator, denied) == tuple(
        f"run trial, round 4, {stage}: the coordinator has an answer of ash that ash's audit does not have" for stage in ("train", "unmask")
    )


def test_an_institution_that_cuts_its_end_off_is_contradicted(pair: Pair) -> None:
    coordinator, institution = pair
    assert compare(coordinator, replace(institution, entries=institution.entries[:-1]))


def test_a_coordinator_that_denies_a_round_is_contradicted(pair: Pair) -> None:
    coordinator, institution = pair
    denied = without(coordinator, lambda entry: entry.fields.get("round") == 4)
    assert compare(denied, institution) == ("run trial, round 4: ash answered it, the coordinator's audit does not have its plan",)


def test_a_coordinator_that_counted_other_bytes_is_contradicted(pair: Pair) -> None:
    coordinator, institution = pair

    def forged(entry: Entry) -> Entry:
        if entry.kind != "round" or entry.fields["round"] != 4:
            return entry
        answers = {**entry.fields["answers"], "train": {**entry.fields["answers"]["train"], "ash": "00" * 32}}
        return replace(entry, fields={**entry.fields, "answers": answers})

    complaints = compare(replace(coordinator, entries=tuple(map(forged, coordinator.entries))), institution)
    assert len(complaints) == 2
    assert "other bytes than those that the coordinator counted" in complaints[1]


@pytest.mark.parametrize("odd", [None, [], {}, "x", True, -1.5])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, name) for kind in ("answered", "plan", "round") for name in ("run", "round")),
        ("answered", "answer_sha256"),
        ("round", "answers"),
    ],
)
def test_a_signed_line_without_what_it_should_have_is_said(kind: str, name: str, odd: object, pair: Pair) -> None:
    def changed(entry: Entry) -> Entry:
        if entry.kind != kind:
            return entry
        rest = {key: value for key, value in entry.fields.items() if key != name}
        return replace(entry, fields=rest if odd is None else rest | {name: odd})

    hostile = [replace(trail, entries=tuple(map(changed, trail.entries))) for trail in pair]
    if name in ("run", "answer_sha256") and odd == "x":
        assert compare(*(pair[0], hostile[1]) if kind == "answered" else (hostile[0], pair[1]))
        return
    if name == "answers" and odd == {}:
        assert compare(*hostile)
        return
    with pytest.raises(AuditError, match=f"of kind {kind}: its field '{name}'"):
        compare(*hostile)


def test_what_a_side_wrote_moves_no_cursor(pair: Pair) -> None:
    coordinator, institution = pair
    odd = [replace(entry, fields={**entry.fields, "run": "\x1b[2J\nall fits"}) for entry in institution.entries]
    complaints = compare(coordinator, replace(institution, entries=tuple(odd)))
    assert complaints
    assert all(complaint.isprintable() for complaint in complaints)


def test_only_a_coordinator_and_an_institution_can_be_compared(pair: Pair, tmp_path: Path) -> None:
    for wrong in (pair[::-1], (pair[0], pair[0]), (pair[1], pair[1])):
        with pytest.raises(ConfigError, match="coordinator's folder first"):
            compare(*wrong)
