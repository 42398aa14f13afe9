"""What an institution makes of a federation's knowledge: the public graph that came, its own private one, and its own records."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.attached import GRAPH, MAPPING, bound_content
from shared.config import InstitutionConfig
from shared.data.records import Records
from shared.data.seeds import generator
from shared.distill.auxiliary import Auxiliary
from shared.errors import CheckpointError, KnowledgeError, MissingFileError
from shared.knowledge.alignment import Known
from shared.knowledge.embedding_file import StoredEmbeddings, load_embeddings
from shared.knowledge.files import read_graph
from shared.knowledge.linking import Mapping as LinkMapping
from shared.knowledge.linking import parse_mapping
from shared.knowledge.packed import unpack_graph
from shared.knowledge.teaching import NAME, GraphTeacher
from shared.knowledge.texts import texts_of
from shared.knowledge.triples import Graph, joined
from shared.models.seeds import derive
from shared.work import FIXED_POINT, KnowledgeWork, LearningWork

_LOG = logging.getLogger("fedstill.knowledge")

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Lessons:
    """What a graph teaches in a round, each part ``None`` where it teaches nothing, and its ``trust`` in [0, 1]."""

    auxiliary: Auxiliary | None = None
    known: Known | None = None
    trust: float = 0.0


class InstitutionKnowledge:
    """Reads graphs at first use and keeps what it made of them. Private triples, trust, embeddings and imagined records stay here."""

    def __init__(self, config: InstitutionConfig, records: Records) -> None:
        """``records``: those that are learnt from; unlabelled ones count too."""
        self._config, self._records = config, records
        self._made: tuple[KnowledgeWork, GraphTeacher | None] | None = None
        self._joined: tuple[str, Graph | None] | None = None

    def graph(self, digest: str, tensors: Tensors) -> Graph | None:
        """The public graph with this SHA-256 (empty: there is none) and the private one in one; ``None`` without either, or unused."""
        if self._joined is None or self._joined[0] != digest:
            self._joined = digest, self._graph(digest, tensors)
        return self._joined[1]

    def lessons(self, work: LearningWork, tensors: Tensors, round_number: int, embeddings: NDArray[np.float32] | None = None) -> Lessons:
        """What the graph teaches in a round; ``embeddings`` float32 ``(E, width)``: those of its entities, where they are shared ones.

        Raises :class:`ProtocolError` for a graph that is not the one that the plan names, :class:`KnowledgeError` for one that cannot be
        used, and where the mapping does not fit it.
        """
        teacher = self._teacher(work.knowledge, tensors) if work.knowledge is not None else None
        if work.knowledge is None or teacher is None:
            return Lessons()
        config = self._config
        auxiliary = teacher.auxiliary(
            work.knowledge,
            generator(config.seed, config.name, work.seed, round_number, NAME),
            label_shares=work.label_shares,
            label_correction=work.distillation.label_correction,
        )
        with self._untold():
            known = teacher.known(work.knowledge.embeddings, embeddings)
        return Lessons(auxiliary, known, teacher.trust)

    def _teacher(self, asked: KnowledgeWork, tensors: Tensors) -> GraphTeacher | None:
        if self._made is None or self._made[0] != asked:
            self._made = asked, self._read(asked, tensors)
        return self._made[1]

    def _read(self, asked: KnowledgeWork, tensors: Tensors) -> GraphTeacher | None:
        config, graph = self._config, self.graph(asked.graph_sha256, tensors)
        if graph is None:
            return None
        mapping = config.knowledge.mapping or _public_mapping(asked.mapping_sha256, tensors)
        texts = texts_of(config.task, self._records, config.tokenizer_path)
        seed = derive(config.seed, config.name, asked.graph_sha256, "embeddings")
        with self._untold():
            stored = self._stored if asked.embeddings is not None and asked.shared is None else None
            made = GraphTeacher(graph, mapping, config.task, self._records, texts=texts, seed=seed, stored=stored)
        _LOG.info("a graph of %d triples is trusted %.2f of 1 by this institution's labels", len(graph), made.trust)
        return made

    def _graph(self, digest: str, tensors: Tensors) -> Graph | None:
        if not self._config.knowledge.use:
            return None
        public = unpack_graph(bound_content(tensors, GRAPH, digest, "the knowledge graph")) if digest else None
        with self._untold():
            graphs = [graph for graph in (public, self._private) if graph is not None]
            return joined(*graphs) if len(graphs) == 2 else graphs[0] if graphs else None

    @contextmanager
    def _untold(self) -> Iterator[None]:
        # A refusal goes to the coordinator: it must not name what an institution knows by itself.
        try:
            yield
        except (KnowledgeError, CheckpointError, MissingFileError) as error:
            own = self._config.knowledge
            if own.path is None and own.mapping is None and own.embeddings_path is None:
                raise
            _LOG.error("this institution's [knowledge] cannot be used as it stands: %s", error)
            raise KnowledgeError(
                "this institution's own [knowledge] cannot be used as it stands; its operator finds the cause in its own log"
            ) from error

    @cached_property
    def _stored(self) -> StoredEmbeddings | None:
        path = self._config.knowledge.embeddings_path
        return load_embeddings(path) if path is not None else None

    @cached_property
    def _private(self) -> Graph | None:
        path = self._config.knowledge.path
        if path is None:
            return None
        reading = read_graph(path)
        if reading.bad:
            _LOG.warning("%s: %d of %d rows are no triples and are left out; %s", path, reading.bad, reading.rows, reading.shown[0])
        return reading.graph


def trust_counters(work: LearningWork, lessons: Lessons) -> Mapping[str, NDArray[np.int64]]:
    """The counters of knowledge, where the work asks for it."""
    if work.knowledge is None:
        return {}
    knowing = lessons.auxiliary is not None or lessons.known is not None
    return {"eval_trust": np.array([round(lessons.trust * FIXED_POINT)], np.int64), "eval_knowing": np.array([knowing], np.int64)}


def _public_mapping(digest: str, tensors: Tensors) -> LinkMapping:
    if not digest:
        raise KnowledgeError("neither the plan nor [knowledge.mapping] says which entities records name; add a mapping")
    return parse_mapping(bound_content(tensors, MAPPING, digest, "the mapping"))
