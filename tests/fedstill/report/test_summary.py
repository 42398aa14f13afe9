"""A summary is read as it was written by scripts of any kind, and nothing that is no figure is in it."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from fedstill.report.summary import TITLES, ModelFigures, ModelName, RoundFigures, Summary
from tests.fedstill.report.test_report import SUMMARY


def test_every_model_has_a_title_of_its_own() -> None:
    assert tuple(TITLES) == get_args(ModelName)
    assert len(set(TITLES.values())) == len(TITLES)


def test_an_older_summary_without_what_came_later_is_still_read() -> None:
    older = SUMMARY.model_dump(mode="json", exclude={"answers", "objective", "epsilon", "delta", "notes"})
    found = Summary.model_validate(older)
    assert (found.answers, found.objective, found.epsilon, found.notes) == (False, {}, None, ())
    assert found.metrics == SUMMARY.metrics


@pytest.mark.parametrize(
    "change", [{"agreement": float("nan")}, {"seconds": float("inf")}, {"institutions": "two"}, {"accuracy_of_north": 0.5}, {"rounds": {}}]
)
def test_what_is_no_figure_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Summary.model_validate(SUMMARY.model_dump(mode="json") | change)


def test_a_round_is_over_when_it_is_reported_and_a_model_has_no_other_figures() -> None:
    with pytest.raises(ValidationError):
        RoundFigures(number=1, phase="train", status="open")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        ModelFigures.model_validate({"accuracy": {"north": 0.5}, "overall": 0.5, "mean": 0.5, "f1": 0.5})


def test_objectives_are_lines_with_names_only_where_they_differ() -> None:
    changed = SUMMARY.model_copy(update={"objective": {"one": ("a", "b"), "two": ("c",)}})
    assert changed.objectives() == ["objective of a, b: one", "objective of c: two"]
    assert SUMMARY.objectives() == ["objective: 1 labels"]
    assert SUMMARY.model_copy(update={"objective": {}}).objectives() == []


def test_what_the_labels_say_of_the_graph_is_a_line_where_there_was_one() -> None:
    changed = SUMMARY.model_copy(update={"knowledge_trust": 0.25, "knowledge_used": 1.0})
    assert changed.objectives() == [
        "objective: 1 labels",
        f"knowledge graph: borne out 0.25 of 1 by the labels in the mean; {SUMMARY.institutions} institutions learn from it",
    ]


def test_what_the_table_buys_is_a_line_with_what_was_trained_without_it() -> None:
    pooled, bare = (ModelFigures(accuracy={}, overall=value, mean=value) for value in (0.815, 0.805))
    kept = SUMMARY.model_copy(update={"tables": {"drug": 1200, "joint": 48}, "objective": {}, "metrics": {"pooled": pooled}})
    assert kept.objectives() == ["graph table: 1,248 bytes of the artifact, for drug, joint; run with baselines to see what it buys"]
    both = kept.model_copy(update={"metrics": {"pooled": pooled, "bare": bare}})
    assert both.objectives() == [
        "graph table: 1,248 bytes of the artifact, for drug, joint; on pooled records 81.5 % are right with it and 80.5 % without, one seed"
    ]
