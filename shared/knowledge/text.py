"""What a graph says of texts: the entities that each names, as evidence for its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.data.records import UNLABELLED
from shared.errors import KnowledgeError
from shared.knowledge.dictionary import SHORTEST, Dictionary, folded
from shared.knowledge.evidence import likelihoods, log_evidence, typical
from shared.knowledge.linking import TextMapping
from shared.knowledge.triples import Graph
from shared.knowledge.trust import Calibration, best_calibration
from shared.task import TextTask


@dataclass(frozen=True)
class TextKnowledge:
    """``findings`` ``(texts, entities)`` as of :class:`Dictionary`, the ``entities``' names, and what the labels say of the graph."""

    entities: tuple[str, ...]
    findings: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    calibration: Calibration

    @property
    def trust(self) -> float:
        """In [0, 1]; 0 where no text has a label."""
        return self.calibration.trust

    def answers(self, prior: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """The graph's answers on these very texts ``(texts, labels)``, labelled or not, for classes of the shares ``prior``."""
        return self.calibration.targets(log_evidence(self.probabilities, self.findings), prior).astype(np.float32)


def text_knowledge(graph: Graph, mapping: TextMapping, task: TextTask, texts: Sequence[str], labels: NDArray[np.int64]) -> TextKnowledge:
    """Reads the graph for ``texts`` with their ``labels``, of which some may be :data:`UNLABELLED`.

    Raises :class:`KnowledgeError` where the mapping does not fit the task or the graph, and where the graph ties nothing that a text
    could name to any class.
    """
    dictionary = dictionary_of(graph, mapping)
    findings, groups = dictionary.findings(texts), dictionary.groups
    held = typical(graph, mapping.class_entities(task), groups, mapping.relations, mapping.hops)
    if not held.any():
        raise KnowledgeError(f"no class is within {mapping.hops} triples of anything that a text could name; correct the mapping")
    marginals, known = groups.marginals(findings), labels != UNLABELLED
    found = best_calibration(held, marginals, findings[known], labels[known])
    return TextKnowledge(dictionary.entities, findings, likelihoods(held, marginals, found.hold, found.manner), found)


def dictionary_of(graph: Graph, mapping: TextMapping) -> Dictionary:
    """The names that texts are searched for: the mapping's, or all entities by their own; of two that are spelt alike the first."""
    if mapping.names:
        return Dictionary(mapping.names)
    names: dict[str, tuple[str, ...]] = {}
    spelt: set[str] = set()
    for entity in graph.entities:
        plain = folded(entity)
        if len(plain) >= SHORTEST and plain not in spelt:
            names[entity] = (entity,)
            spelt.add(plain)
    return Dictionary(names)
