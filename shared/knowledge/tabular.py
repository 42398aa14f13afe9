"""A graph made ready to teach from the records of one table: the one thing that training needs to know of knowledge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.data.records import UNLABELLED, Records
from shared.errors import KnowledgeError
from shared.knowledge.evidence import MISSING, likelihoods, typical
from shared.knowledge.imagined import Imagination
from shared.knowledge.linking import TableMapping
from shared.knowledge.triples import Graph
from shared.knowledge.trust import best_calibration
from shared.task import TabularTask


@dataclass(frozen=True)
class TabularKnowledge:
    """What ``graph`` says of ``task`` as far as an institution's ``records`` bear it out. It is private: it holds their marginals and
    lends their numbers to imagined records.
    """

    task: TabularTask
    mapping: TableMapping
    imagination: Imagination
    donors: NDArray[np.float32]

    @property
    def trust(self) -> float:
        """In [0, 1]: what every term of knowledge is multiplied with. 0 where no record has a label."""
        return self.imagination.calibration.trust

    def pool(
        self, count: int, random: np.random.Generator, prior: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Imagined records as raw inputs ``(count, columns)``, and the graph's answers ``(count, labels)``: once a round.

        Each misses what one of the institution's own records misses. ``prior``: as of :meth:`Imagination.pool`.
        """
        rows = random.integers(0, len(self.donors), count)
        told = self.mapping.findings(self.task, self.donors) != MISSING
        findings = np.where(told[rows], self.imagination.pool(count, random, prior), MISSING)
        inputs = self.mapping.records(self.task, findings, self.donors, random, rows)
        return inputs, self.imagination.targets(findings, prior)


def tabular_knowledge(graph: Graph, mapping: TableMapping, task: TabularTask, records: Records) -> TabularKnowledge:
    """Reads the graph for ``task``. Marginals rest on all ``records``, trust on the labelled ones.

    Raises :class:`KnowledgeError` where the mapping does not fit the task or the graph, and where the graph ties no finding to any class.
    """
    groups = mapping.checked(task).groups(task)
    held = typical(graph, mapping.class_entities(task), groups, mapping.relations, mapping.hops)
    if not held.any():
        raise KnowledgeError(f"no class is within {mapping.hops} triples of any finding; correct the mapping, its relations or its hops")
    findings = mapping.findings(task, records.inputs)
    marginals, known = groups.marginals(findings), records.labels != UNLABELLED
    found = best_calibration(held, marginals, findings[known], records.labels[known])
    imagination = Imagination(likelihoods(held, marginals, found.hold, found.manner), found)
    return TabularKnowledge(task, mapping, imagination, records.inputs)
