"""How far a mapping reaches into a graph: which categories, ranges and classes of a task name entities that are there."""

from __future__ import annotations

import numpy as np

from shared.frozen import Frozen
from shared.knowledge.evidence import typical
from shared.knowledge.linking import TableMapping
from shared.knowledge.names import near_names
from shared.knowledge.triples import Graph
from shared.task import TabularTask


class ColumnCoverage(Frozen):
    """One linked column: its ``alternatives`` (categories or ranges), the ``named`` ones of them, those whose entity the graph ``has``,
    those ``tied`` to a class by the mapping's relations and hops, and the ``absent`` entities with near names that the graph has.
    """

    column: str
    alternatives: int
    named: int
    has: int
    tied: int
    absent: dict[str, tuple[str, ...]]


class Coverage(Frozen):
    """``columns``: the linked ones, in the mapping's order; ``unlinked``: the task's other columns; ``classes``: the entity of each label,
    None where it has none; ``absent_classes``: entities of classes that the graph does not have, with near names.
    """

    columns: tuple[ColumnCoverage, ...]
    unlinked: tuple[str, ...]
    classes: dict[str, str | None]
    absent_classes: dict[str, tuple[str, ...]]


def coverage(graph: Graph, mapping: TableMapping, task: TabularTask) -> Coverage:
    """The coverage of ``graph`` by ``mapping``. Raises :class:`KnowledgeError` where the mapping does not fit the task, and for a
    relation that the graph does not have.
    """
    groups = mapping.checked(task).groups(task)
    classes = mapping.class_entities(task)
    there = [name if name in graph.ids else None for name in classes]
    tied = np.any(typical(graph, there, groups, mapping.relations, mapping.hops), axis=0).sum(axis=1)
    columns = []
    for place, (name, entities) in enumerate(zip(groups.names, groups.entities, strict=True)):
        named = [entity for entity in entities if entity is not None]
        has = sum(entity in graph.ids for entity in named)
        absent = _absent(graph, named)
        columns.append(
            ColumnCoverage(column=name, alternatives=len(entities), named=len(named), has=has, tied=int(tied[place]), absent=absent)
        )
    linked = set(groups.names)
    return Coverage(
        columns=tuple(columns),
        unlinked=tuple(column.name for column in task.columns if column.name not in linked),
        classes=dict(zip(task.labels, classes, strict=True)),
        absent_classes=_absent(graph, [name for name in classes if name is not None]),
    )


def _absent(graph: Graph, names: list[str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(near_names(name, graph.entities)) for name in names if name not in graph.ids}
