"""From a federation's public graph to the tables inside its student (``[knowledge.table]``): what a category's entity is near to."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from shared.config import FederationConfig
from shared.entity_table import LARGEST, STEP_BYTES, EntityTable, TableSettings, entity_table
from shared.errors import KnowledgeError
from shared.knowledge.builtin import graph_of, mapping_of
from shared.knowledge.embedding import pretrained
from shared.knowledge.embedding_file import load_embeddings
from shared.knowledge.inductive import carried_over
from shared.knowledge.linking import CategoryLink, TableMapping
from shared.knowledge.loss import ABSENT
from shared.knowledge.triples import Graph
from shared.models.seeds import derive
from shared.settings import EmbeddingTerms
from shared.task import CategoricalColumn, TabularTask

KEPT = 4
"""Pretrained graphs, at most, that a process holds on to: every fit of its baselines, and its federation, has the same one."""


def student_tables(config: FederationConfig) -> tuple[EntityTable, ...]:
    """A table of each column that ``config.knowledge.table`` names, none where the federation has none. It is a function of the public
    graph, the federation's mapping and its seed.

    The embeddings of all entities that those columns' categories name are brought to one length and centred, so that zeros are the mean,
    turned to their principal directions (Pearson 1901) and cut to the table's width, or to as many as there are, and scaled to a root
    mean square of 1.
    Raises :class:`KnowledgeError` where a column names no two entities of the graph, and where the tables take too many bytes.
    """
    knowledge = config.knowledge
    if knowledge is None or knowledge.table is None:
        return ()
    graph, mapping = graph_of(knowledge), mapping_of(knowledge)
    assert graph is not None
    assert isinstance(mapping, TableMapping)
    assert isinstance(config.task, TabularTask)
    columns = [_entities(graph, mapping, config.task, name) for name in knowledge.table.columns]
    embedded = _embedded(config, graph, knowledge.table)
    known = np.unique(np.concatenate(columns))
    known = known[known != ABSENT]
    # An entity that no triple reaches stays at zero: centred with the others it would have a direction, and pass for known.
    known = known[embedded[known].any(axis=1)]
    if len(known) < 2:
        raise KnowledgeError("the graph says something of fewer than two entities of [knowledge.table]; name other columns")
    small = compact(embedded[known], knowledge.table.width)
    if (size := sum(len(ids) for ids in columns) * (small.shape[1] + STEP_BYTES)) > LARGEST:
        raise KnowledgeError(
            f"the tables of [knowledge.table] take {size} bytes, more than {LARGEST}; lower its width or name fewer columns"
        )
    rows = np.concatenate([small, np.zeros_like(small[:1])])
    places = [np.where(np.isin(ids, known), np.searchsorted(known, ids), len(small)) for ids in columns]
    return tuple(entity_table(name, rows[own]) for name, own in zip(knowledge.table.columns, places, strict=True))


def compact(embeddings: NDArray[np.float32], width: int) -> NDArray[np.float64]:
    """``(entities, at most width)``: ``embeddings (entities, K)`` at length 1, less their mean, in their leading principal directions,
    over the root of their mean square. A direction's sign makes its largest magnitude positive.
    """
    # Embeddings differ in length by degree, not by meaning: a few long ones would leave all others next to nothing.
    units = embeddings / np.maximum(np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True), 1e-30)
    centred = units - units.mean(axis=0)
    parts, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    kept = max(1, min(width, int((lengths > 1e-6 * max(lengths[0], 1e-30)).sum())))
    found: NDArray[np.float64] = parts[:, :kept] * lengths[:kept]
    found *= np.where(found[np.abs(found).argmax(axis=0), np.arange(kept)] < 0, -1.0, 1.0)
    return found / max(float(np.sqrt(np.square(found).mean())), 1e-30)


def _entities(graph: Graph, mapping: TableMapping, task: TabularTask, name: str) -> NDArray[np.int64]:
    """The entity of each category of a column, :data:`ABSENT` where it names none that the graph has."""
    link = next(link for link in mapping.columns if link.column == name)
    column = next(column for column in task.columns if column.name == name)
    assert isinstance(link, CategoryLink)
    assert isinstance(column, CategoricalColumn)
    ids = np.array([graph.ids.get(link.entities.get(category, ""), ABSENT) for category in column.categories], dtype=np.int64)
    if len(np.unique(ids[ids != ABSENT])) < 2:
        raise KnowledgeError(f"the categories of '{name}' name fewer than two entities of the graph, so a table would tell nothing of them")
    return ids


def _embedded(config: FederationConfig, graph: Graph, table: TableSettings) -> NDArray[np.float32]:
    assert config.knowledge is not None
    terms = config.knowledge.embeddings or EmbeddingTerms()
    if table.embeddings_path is not None:
        stored = load_embeddings(table.embeddings_path)
        return carried_over(graph, stored, stored.entities.shape[1])
    found = _PRETRAINED.of(graph, terms, derive(config.seed, "entity table"))
    # What an entity without a triple was drawn as says nothing of it.
    return found * (graph.degrees() > 0)[:, None].astype(np.float32)


class _Pretrained:
    """What link prediction gave, by all that it depends on, so that a process learns it once. The last :data:`KEPT` are held."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[object, ...], NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def of(self, graph: Graph, terms: EmbeddingTerms, seed: int) -> NDArray[np.float32]:
        """As :func:`shared.knowledge.embedding.pretrained`; not to be written to."""
        key = _in_order(graph), terms.model, terms.width, terms.epochs, seed
        # Held while it learns: whoever asks for the same meanwhile waits for it and does not learn it again.
        with self._lock:
            if key not in self._found:
                self._found[key] = pretrained(graph, terms, seed)
                self._found[key].setflags(write=False)
            self._found.move_to_end(key)
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
            return self._found[key]


def _in_order(graph: Graph) -> bytes:
    # A graph's own digest is the same in whatever order its triples are; rows of embeddings are in the order of its entities.
    digest = hashlib.sha256(repr((graph.entities, graph.relations)).encode())
    for part in (graph.triples, graph.weights, graph.times):
        digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    return digest.digest()


_PRETRAINED = _Pretrained()
