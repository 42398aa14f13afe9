"""What an institution makes of a federation's knowledge: the public graph that came, its own private one, and its own records."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.attached import sized_content
from shared.config import InstitutionConfig
from shared.data.records import Records
from shared.data.seeds import generator
from shared.distill.auxiliary import Auxiliary
from shared.errors import KnowledgeError, ProtocolError
from shared.knowledge.files import read_graph
from shared.knowledge.packed import unpack_graph
from shared.knowledge.tabular import TabularKnowledge, tabular_knowledge
from shared.knowledge.teaching import imagined
from shared.knowledge.triples import Graph, joined
from shared.task import TabularTask
from shared.work import FIXED_POINT, KnowledgeWork, LearningWork

_LOG = logging.getLogger("fedstill.knowledge")

Tensors = Mapping[str, NDArray[Any]]
GRAPH = "graph"
"""The name under which a graph is attached to a round's blob."""


class InstitutionKnowledge:
    """Reads graphs at first use and keeps what it made of them. Private triples, trust and imagined records stay here."""

    def __init__(self, config: InstitutionConfig, records: Records) -> None:
        """``records``: those that are learnt from; unlabelled ones count too."""
        self._config, self._records = config, records
        self._made: tuple[KnowledgeWork, TabularKnowledge | None] | None = None

    def auxiliary(self, work: LearningWork, tensors: Tensors, round_number: int) -> tuple[Auxiliary | None, float]:
        """What the graph teaches in a round, if anything, and how far the labels bear it out (0 to 1).

        Raises :class:`ProtocolError` for a graph that is not the one that the plan names, :class:`KnowledgeError` for one that cannot be
        used, and where the mapping does not fit it.
        """
        made = self._knowledge(work.knowledge, tensors) if work.knowledge is not None else None
        if work.knowledge is None or made is None:
            return None, 0.0
        found = imagined(
            made,
            work.knowledge,
            self._records.labels,
            generator(self._config.seed, self._config.name, work.seed, round_number, "imagined"),
            label_shares=work.label_shares,
            label_correction=work.distillation.label_correction,
        )
        return found, made.trust

    def _knowledge(self, asked: KnowledgeWork, tensors: Tensors) -> TabularKnowledge | None:
        if self._made is None or self._made[0] != asked:
            self._made = asked, self._read(asked, tensors)
        return self._made[1]

    def _read(self, asked: KnowledgeWork, tensors: Tensors) -> TabularKnowledge | None:
        task, graph = self._config.task, self._graph(asked, tensors)
        mapping = self._config.knowledge.mapping or asked.mapping
        if graph is None or not isinstance(task, TabularTask):
            return None
        if mapping is None:
            raise KnowledgeError("neither the plan nor [knowledge.mapping] says which entities the columns name; add a mapping")
        made = tabular_knowledge(graph, mapping, task, self._records)
        _LOG.info("a graph of %d triples is trusted %.2f of 1 by this institution's labels", len(graph), made.trust)
        return made

    def _graph(self, asked: KnowledgeWork, tensors: Tensors) -> Graph | None:
        if not self._config.knowledge.use:
            return None
        graphs = [graph for graph in (_public(asked, tensors), self._private) if graph is not None]
        return joined(*graphs) if len(graphs) == 2 else graphs[0] if graphs else None

    @cached_property
    def _private(self) -> Graph | None:
        path = self._config.knowledge.path
        if path is None:
            return None
        reading = read_graph(path)
        if reading.bad:
            _LOG.warning("%s: %d of %d rows are no triples and are left out; %s", path, reading.bad, reading.rows, reading.shown[0])
        return reading.graph


def trust_counters(work: LearningWork, trust: float, auxiliary: Auxiliary | None) -> Mapping[str, NDArray[np.int64]]:
    """The counters of knowledge, where the work asks for it."""
    if work.knowledge is None:
        return {}
    return {"eval_trust": np.array([round(trust * FIXED_POINT)], np.int64), "eval_knowing": np.array([auxiliary is not None], np.int64)}


def _public(asked: KnowledgeWork, tensors: Tensors) -> Graph | None:
    if not asked.graph_sha256:
        return None
    content = sized_content(tensors.get(GRAPH), "the knowledge graph")
    if hashlib.sha256(content).hexdigest() != asked.graph_sha256:
        raise ProtocolError("the knowledge graph that came is not the one that the plan names by its SHA-256; ask for it again")
    return unpack_graph(content)
