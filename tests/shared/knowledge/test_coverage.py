"""How far a mapping reaches into a graph."""

from __future__ import annotations

import pytest

from shared.errors import KnowledgeError
from shared.knowledge.coverage import coverage
from shared.knowledge.heart import FILE, MAPPING, read_heart_graph
from shared.knowledge.linking import CategoryLink, RangeLink, TableMapping
from shared.knowledge.tables import read_table
from shared.knowledge.triples import graph_of
from shared.task import CategoricalColumn, NumericColumn, TabularTask

TASK = TabularTask(
    family="tabular",
    label="ill",
    labels=("flu", "cold", "none"),
    columns=(
        CategoricalColumn(kind="categorical", name="skin", categories=("red", "pale", "grey")),
        NumericColumn(name="heat"),
        NumericColumn(name="age"),
    ),
)
MAPPING_OF_TASK = TableMapping(
    classes={"flu": "influenza", "cold": "common cold"},
    columns=(
        CategoryLink(column="skin", entities={"red": "rash", "pale": "pallor"}),
        RangeLink(column="heat", edges=(38.0,), entities=(None, "fever")),
    ),
)
GRAPH = graph_of([("influenza", "shows", "fever", 1.0), ("measles", "shows", "rash", 1.0), ("measles", "shows", "pallors", 1.0)])


def test_each_column_says_what_is_named_there_and_tied() -> None:
    found = coverage(GRAPH, MAPPING_OF_TASK, TASK)
    skin, heat = found.columns
    assert (skin.column, skin.alternatives, skin.named, skin.has, skin.tied) == ("skin", 3, 2, 1, 0)
    assert skin.absent == {"pallor": ("pallors",)}
    assert (heat.column, heat.alternatives, heat.named, heat.has, heat.tied) == ("heat", 2, 1, 1, 1)
    assert found.unlinked == ("age",)
    assert found.classes == {"flu": "influenza", "cold": "common cold", "none": None}
    assert list(found.absent_classes) == ["common cold"]


def test_a_mapping_that_does_not_fit_the_task_or_the_graph_is_refused() -> None:
    with pytest.raises(KnowledgeError, match="class 'well'"):
        coverage(GRAPH, MAPPING_OF_TASK.model_copy(update={"classes": {"well": "x"}}), TASK)
    with pytest.raises(KnowledgeError, match="no relation 'causes'"):
        coverage(GRAPH, MAPPING_OF_TASK.model_copy(update={"relations": ("causes",)}), TASK)


def test_the_built_in_mapping_names_what_its_file_has_and_what_is_held_back_of_it_is_said() -> None:
    from shared.data.heart import TASK as HEART

    found, file = coverage(read_heart_graph(), MAPPING, HEART), read_table(FILE).graph
    assert not found.absent_classes
    assert all(entity in file.ids for column in found.columns for entity in column.absent)
    assert all(column.named == column.has + len(column.absent) for column in found.columns)
    assert sum(column.tied > 0 for column in found.columns) >= 12
