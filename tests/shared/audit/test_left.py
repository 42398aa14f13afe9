"""A data-protection officer reads every field of every message in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from shared.audit.chain import BEFORE_THE_FIRST, Entry
from shared.audit.left import PLAIN, UNKNOWN, bytes_by_form, what_left
from shared.errors import AuditError
from shared.task import NumericColumn, TabularTask
from shared.work import (
    CalibrateHistogramWork,
    CalibrateRangeWork,
    EntitiesWork,
    GateWork,
    Normalisation,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    Work,
    counter_fields,
)


def entry(kind: str = "answered", name: str = "update", form: str = "masked", size: int = 8, **fields: object) -> Entry:
    left = [{"name": name, "form": form, "count": 2, "bytes": size, "sha256": "ab"}]
    return Entry(1, "2026-01-01T00:00:00.000Z", "institution/ash", kind, {"stage": "train", "left": left, **fields}, BEFORE_THE_FIRST)


def test_of_one_run_or_of_all() -> None:
    entries = [entry(run="one", round=1, work="train"), entry(run="two", round=2, work="gate"), entry("agreed")]
    entries[2].fields.pop("left")  # type: ignore[attr-defined]
    assert [(row.run, row.round, row.message) for row in what_left(entries)] == [("one", 1, "train"), ("two", 2, "train gate")]
    assert [row.run for row in what_left(entries, "two")] == ["two"]


def test_a_refusal_of_no_known_run_is_in_every_run_s_list() -> None:
    assert [row.message for row in what_left([entry("refused", "refusal", "clear")], "any")] == ["refused train"]
    assert what_left([entry("answered-again", run="one", work="train")])[0].message == "train again"


def test_bytes_by_form() -> None:
    rows = what_left([entry(size=3), entry(size=4, form="sealed"), entry(size=5, form="clear"), entry(size=6)])
    assert bytes_by_form(rows) == {"masked": 9, "sealed": 4, "clear": 5}
    assert bytes_by_form([]) == {"masked": 0, "sealed": 0, "clear": 0}


def test_a_field_of_a_newer_release_is_said_to_be_unknown() -> None:
    assert what_left([entry(name="new")])[0].what == UNKNOWN


@pytest.mark.parametrize(
    "odd",
    [
        {"left": 7},
        {"left": [7]},
        {"left": [{}]},
        {"left": None},
        {"stage": None},
        {"stage": ["x"]},
        {"run": 7},
        {"round": "3"},
        {"work": {}},
    ],
)
def test_a_signed_line_without_what_it_should_have_is_said(odd: dict[str, Any]) -> None:
    with pytest.raises(AuditError, match="line 1 of the audit of institution/ash"):
        what_left([entry(**odd)])


@pytest.mark.parametrize(("name", "odd"), [("name", 7), ("form", []), ("count", "2"), ("bytes", True), ("bytes", 2**70), ("sha256", None)])
def test_an_item_that_is_none_is_said(name: str, odd: object) -> None:
    made = entry()
    made.fields["left"][0][name] = odd
    with pytest.raises(AuditError, match="'left'"):
        what_left([made])


def test_every_counter_there_is_has_plain_words() -> None:
    task = TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(kind="numeric", name="age"),))
    works: list[Work] = [
        StatisticsRangeWork(),
        StatisticsMomentsWork(exponents=(1,)),
        EntitiesWork(slots=64),
        CalibrateRangeWork(normalisation=Normalisation(), tensors=("a",)),
        CalibrateHistogramWork(normalisation=Normalisation(), tensors=("a",), lows=(0.0,), highs=(1.0,)),
        GateWork(candidates=("u8u8",)),
    ]
    named = {field.name for work in works for field in counter_fields(work, task)}
    assert named <= set(PLAIN)
    assert {"train_records", "train_loss", "unclipped", "head_weights", "eval_trust", "eval_knowing"} <= set(PLAIN)
