"""Which entities of a graph each record names, whatever the family of the task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.data.records import Records
from shared.knowledge.evidence import MISSING
from shared.knowledge.linking import LabelMapping, Mapping, TableMapping
from shared.knowledge.loss import ABSENT
from shared.knowledge.text import TextKnowledge
from shared.knowledge.triples import Graph
from shared.task import TabularTask, Task


def class_ids(graph: Graph, mapping: LabelMapping, task: Task) -> NDArray[np.int64]:
    """The entity of each label ``(C,)``, :data:`ABSENT` where it has none or the graph has not."""
    return np.array([ABSENT if name is None else graph.ids.get(name, ABSENT) for name in mapping.class_entities(task)], dtype=np.int64)


def members(graph: Graph, mapping: Mapping, task: Task, records: Records, texts: TextKnowledge | None) -> NDArray[np.int64]:
    """Entities of each record int64 ``(records, most)``, filled up with :data:`ABSENT`; ``texts``: what was found in those of a text task.

    A row of a table names those of its findings, a text those that were found in it, and an image none: what one shows is its class.
    """
    if isinstance(mapping, TableMapping) and isinstance(task, TabularTask):
        return _of_rows(graph, mapping, task, records)
    if texts is not None:
        ids = np.array([graph.ids.get(name, ABSENT) for name in texts.entities], dtype=np.int64)
        return _packed([ids[np.flatnonzero(row)] for row in texts.findings])
    return np.full((len(records), 1), ABSENT, dtype=np.int64)


def class_findings(graph: Graph, classes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which entity is next to which class ``(C, E)``, by any relation in either direction."""
    found = np.zeros((len(classes), len(graph.entities)), dtype=bool)
    for row, entity in enumerate(classes):
        if entity != ABSENT:
            heads, tails = graph.triples[:, 0], graph.triples[:, 2]
            found[row, tails[heads == entity]] = True
            found[row, heads[tails == entity]] = True
    return found


def _of_rows(graph: Graph, mapping: TableMapping, task: TabularTask, records: Records) -> NDArray[np.int64]:
    findings, groups = mapping.findings(task, records.inputs), mapping.groups(task)
    found = np.full(findings.shape, ABSENT, dtype=np.int64)
    for place, alternatives in enumerate(groups.entities):
        ids = np.array([ABSENT if name is None else graph.ids.get(name, ABSENT) for name in alternatives], dtype=np.int64)
        told = findings[:, place] != MISSING
        found[told, place] = ids[findings[told, place]]
    return found


def _packed(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    found = np.full((len(rows), max((len(row) for row in rows), default=1) or 1), ABSENT, dtype=np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found
