from __future__ import annotations

import numpy as np
import pytest

from shared.data.heart import TASK, read_heart
from shared.knowledge.evidence import likelihoods, log_evidence, typical
from shared.knowledge.heart import DISEASE, FILE, MAPPING, SOUND, read_heart_graph
from shared.knowledge.tables import read_table


def test_every_triple_has_its_source_and_none_is_bad() -> None:
    found = read_table(FILE)
    assert (found.bad, found.repeated) == (0, 0)
    rows = [line.split("\t") for line in FILE.read_text().splitlines() if not line.startswith("#")]
    assert rows[0] == ["head", "relation", "tail", "source"]
    assert all(any(year in row[3] for year in map(str, range(1979, 2022))) for row in rows[1:])


def test_the_mapping_fits_the_task_and_names_only_entities_of_the_graph() -> None:
    graph, groups = read_heart_graph(), MAPPING.checked(TASK).groups(TASK)
    assert set(groups.names) == {column.name for column in TASK.columns}
    assert {entity for group in groups.entities for entity in group if entity is not None} <= set(graph.entities)


def test_no_finding_speaks_for_and_against_the_disease() -> None:
    held = typical(read_heart_graph(), (DISEASE, SOUND), MAPPING.groups(TASK), MAPPING.relations, MAPPING.hops)
    assert not (held[0] & held[1]).any()
    named = [[entity is not None for entity in group] for group in MAPPING.groups(TASK).entities]
    for place, group in enumerate(named):
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
