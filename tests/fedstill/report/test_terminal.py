"""The tables at the end of a run: a row a model that there is, empty cells where nothing was measured, names as they are."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from fedstill.report import ModelFigures, print_summary
from fedstill.report.summary import TITLES, Summary
from fedstill.report.terminal import accuracy_table, size_table
from tests.fedstill.report.test_report import SUMMARY


def cells(table: Table) -> list[tuple[str, ...]]:
    columns = [list(column.cells) for column in table.columns]
    return [tuple(map(str, row)) for row in zip(*columns, strict=True)]


def text(summary: Summary) -> str:
    console = Console(record=True, width=200, file=io.StringIO())
    print_summary(summary, console)
    return console.export_text()


def test_models_stand_in_their_order_and_those_that_are_missing_have_no_row() -> None:
    assert cells(accuracy_table(SUMMARY)) == [
        ("own teacher", "80.0", "90.0", "87.0"),
        ("fedstill student", "80.0", "80.0", "80.0"),
        ("fedstill INT8", "80.0", "80.0", "80.0"),
    ]
    assert cells(size_table(SUMMARY)) == [
        ("own teacher", "10,000", "40.0", ""),
        ("fedstill student", "900", "", "0.250"),
        ("fedstill INT8", "900", "1.2", ""),
    ]


def test_of_many_institutions_eight_are_shown_and_one_without_figures_is_empty() -> None:
    names = [f"site-{number}" for number in range(12)]
    figures = ModelFigures(accuracy=dict.fromkeys(names[1:], 0.5), overall=0.5, mean=0.5)
    many = SUMMARY.model_copy(update={"records": dict.fromkeys(names, (3, 2)), "metrics": dict.fromkeys(TITLES, figures)})
    table = accuracy_table(many)
    assert [column.header for column in table.columns] == ["model", *names[:8], "all"]
    assert cells(table)[0] == ("own teacher", "", *["50.0"] * 7, "50.0")
    assert [row[0] for row in cells(table)] == list(TITLES.values())


def test_void_rounds_and_privacy_are_said_only_where_there_are_any() -> None:
    assert "1 void" in text(SUMMARY)
    assert "privacy" not in text(SUMMARY)
    counts = SUMMARY.rounds.model_copy(update={"void": 0, "closed": 3})
    private = text(SUMMARY.model_copy(update={"rounds": counts, "epsilon": 7.25, "delta": 1e-5}))
    assert "3 of 3 training rounds closed;" in private
    assert "ε = 7.25 at δ = 1e-05" in private


def test_one_objective_is_said_once_and_several_with_their_institutions() -> None:
    one = text(SUMMARY.model_copy(update={"objective": {"1 labels": ("north", "south")}}))
    assert "\nobjective: 1 labels\n" in one
    several = text(SUMMARY.model_copy(update={"objective": {"1 labels": ("north", "west"), "1 soft targets (kl, T 2)": ("south",)}}))
    assert "\nobjective of north, west: 1 labels\nobjective of south: 1 soft targets (kl, T 2)\n" in several
    assert "objective" not in text(SUMMARY.model_copy(update={"objective": {}}))
