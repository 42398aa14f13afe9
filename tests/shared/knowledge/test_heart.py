from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data.heart import TASK, read_heart
from shared.knowledge.evidence import likelihoods, log_evidence, typical
from shared.knowledge.heart import BORNE_OUT, DISEASE, FILE, MAPPING, SOUND, Checked, read_heart_graph, read_heart_triples
from shared.knowledge.tables import read_table

WAYS: tuple[Checked, ...] = get_args(Checked)
SILENT = {"upsloping ST segment on exercise"}
"""What the mapping names though no triple of it is borne out: it tells nothing."""


def test_no_row_is_bad_and_the_readers_of_all_tables_and_of_this_one_agree() -> None:
    found = read_table(FILE)
    assert (found.bad, found.repeated) == (0, 0)
    assert read_heart_graph(WAYS) == found.graph
    assert len(read_heart_triples()) == found.rows


def test_every_triple_says_what_was_read_and_where_and_a_study_can_be_found_again() -> None:
    for row in read_heart_triples():
        assert (len(row.source) > 5 and len(row.says) > 5) or row.checked == "unchecked"
        if row.checked == "read":
            assert re.search(r"\b(19|20)\d\d\b|\bdoi 10\.|PubMed \d{5,}", row.source), row.source


def test_what_is_not_borne_out_is_not_loaded_unless_asked_for() -> None:
    held_back = {(row.head, row.relation, row.tail) for row in read_heart_triples() if row.checked in ("disputed", "unchecked")}
    loaded = {row[:3] for row in read_heart_graph().rows()}
    assert held_back
    assert not held_back & loaded
    assert len(loaded) == sum(row.checked in BORNE_OUT for row in read_heart_triples())


@given(st.sets(st.sampled_from(WAYS)))
def test_the_graph_is_the_triples_checked_in_the_ways_asked_for(ways: set[Checked]) -> None:
    wanted = {(row.head, row.relation, row.tail, 1.0) for row in read_heart_triples() if row.checked in ways}
    assert set(read_heart_graph(ways).rows()) == wanted


def test_the_mapping_fits_the_task_and_names_only_entities_of_the_graph_or_silent_ones() -> None:
    graph, groups = read_heart_graph(), MAPPING.checked(TASK).groups(TASK)
    assert set(groups.names) == {column.name for column in TASK.columns}
    named = {entity for group in groups.entities for entity in group if entity is not None}
    assert named - set(graph.entities) == SILENT
    assert named <= set(read_heart_graph(WAYS).entities)


def test_no_finding_speaks_for_and_against_the_disease() -> None:
    held = typical(read_heart_graph(), (DISEASE, SOUND), MAPPING.groups(TASK), MAPPING.relations, MAPPING.hops)
    assert not (held[0] & held[1]).any()
    told = [[entity is not None and entity not in SILENT for entity in group] for group in MAPPING.groups(TASK).entities]
    for place, group in enumerate(told):
        np.testing.assert_array_equal((held[0] | held[1])[place, : len(group)], group)


@pytest.mark.parametrize(("hospital", "least"), [("cleveland", 0.85), ("hungary", 0.8), ("va-long-beach", 0.7)])
def test_the_graph_ranks_the_records_of_a_hospital_without_a_label(hospital: str, least: float) -> None:
    records = read_heart()[hospital]
    groups, findings = MAPPING.groups(TASK), MAPPING.findings(TASK, records.inputs)
    held = typical(read_heart_graph(), MAPPING.class_entities(TASK), groups, MAPPING.relations, MAPPING.hops)
    evidence = log_evidence(likelihoods(held, groups.marginals(findings), 0.5, "odds"), findings)
    score = evidence[:, 1] - evidence[:, 0]
    ill, well = score[records.labels == 1], score[records.labels == 0]
    assert (ill[:, None] > well[None, :]).mean() > least
