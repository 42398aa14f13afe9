from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import KnowledgeError
from shared.knowledge.evidence import MISSING
from shared.knowledge.linking import CategoryLink, RangeLink, TableMapping
from shared.task import CategoricalColumn, NumericColumn, TabularTask

TASK = TabularTask(
    family="tabular",
    label="ill",
    labels=("no", "yes"),
    columns=(
        NumericColumn(name="heat"),
        CategoricalColumn(kind="categorical", name="skin", categories=("pale", "red", "blue")),
        NumericColumn(name="other"),
    ),
)
MAPPING = TableMapping(
    classes={"yes": "flu"},
    columns=(
        CategoryLink(column="skin", entities={"red": "rash"}),
        RangeLink(column="heat", edges=(36.0, 38.0), entities=("cold", None, "fever")),
    ),
)
NAN = float("nan")
DONORS = np.array([[35.0, 0, 1], [37.0, 1, 2], [39.5, 2, 3], [NAN, NAN, 4], [38.0, 1, NAN]], dtype=np.float32)


def test_records_name_the_entities_of_their_categories_and_ranges() -> None:
    assert MAPPING.checked(TASK) is MAPPING
    assert MAPPING.class_entities(TASK) == (None, "flu")
    assert MAPPING.groups(TASK).entities == ((None, "rash", None), ("cold", None, "fever"))
    found = MAPPING.findings(TASK, DONORS)
    assert found.tolist() == [[0, 0], [1, 1], [2, 2], [MISSING, MISSING], [1, 2]]


def test_an_edge_belongs_to_the_range_above_and_a_category_the_task_lacks_is_missing() -> None:
    inputs = np.array([[36.0, 3, 0], [35.99, -1, 0]], dtype=np.float32)
    assert MAPPING.findings(TASK, inputs).tolist() == [[MISSING, 1], [MISSING, 0]]


@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=1, max_size=30), st.integers(0, 9))
def test_a_record_made_of_findings_has_them(pairs: list[tuple[int, int]], seed: int) -> None:
    findings = np.array(pairs, dtype=np.int64)
    made = MAPPING.records(TASK, findings, DONORS, np.random.default_rng(seed))
    assert made.dtype == np.float32
    told = findings != MISSING
    np.testing.assert_array_equal(MAPPING.findings(TASK, made)[told], findings[told])
    assert set(np.nan_to_num(made[:, 2], nan=-1).tolist()) <= {1.0, 2.0, 3.0, 4.0, -1.0}


def test_a_range_that_no_donor_shows_is_missing_and_donors_stay_as_they_are() -> None:
    before = DONORS[:2].copy()
    made = MAPPING.records(TASK, np.array([[0, 2]]), DONORS[:2], np.random.default_rng(0))
    assert np.isnan(made[0, 0])
    np.testing.assert_array_equal(DONORS[:2], before)


@pytest.mark.parametrize(
    ("classes", "column", "sentence"),
    [
        ({"maybe": "flu"}, CategoryLink(column="skin", entities={}), "class 'maybe'"),
        ({}, CategoryLink(column="hair", entities={}), "'hair' is not a column"),
        ({}, CategoryLink(column="skin", entities={"green": "x"}), "'green' of 'skin' is not one of pale, red, blue"),
        ({}, CategoryLink(column="heat", entities={}), "which is numeric"),
        ({}, RangeLink(column="skin", edges=(1.0,), entities=(None, None)), "which is categorical"),
    ],
)
def test_a_mapping_that_does_not_fit_the_task_is_refused(classes: dict[str, str], column: CategoryLink | RangeLink, sentence: str) -> None:
    with pytest.raises(KnowledgeError, match=sentence):
        TableMapping(classes=classes, columns=(column,)).checked(TASK)


def test_a_column_is_linked_once() -> None:
    twice = CategoryLink(column="skin", entities={})
    with pytest.raises(KnowledgeError, match="linked twice"):
        TableMapping(classes={}, columns=(twice, twice)).checked(TASK)


@pytest.mark.parametrize(("edges", "entities", "sentence"), [((2.0, 1.0), ("a", "b", "c"), "ascend"), ((1.0,), ("a",), "2 ranges but 1")])
def test_ranges_ascend_and_each_has_an_entity(edges: tuple[float, ...], entities: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        RangeLink(column="heat", edges=edges, entities=entities)


def test_a_range_that_names_nothing_can_be_written_in_toml() -> None:
    assert RangeLink(column="age", edges=(5,), entities=("", "old")) == RangeLink(column="age", edges=(5,), entities=(None, "old"))
