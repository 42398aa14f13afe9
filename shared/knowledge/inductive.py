"""Embeddings carried over to a graph that has more entities than they were learnt from: the new ones begin as their neighbours are.

So an account that opened yesterday, or an entity of an institution's private triples, has an embedding without link prediction anew
(the inductive step of Hamilton et al. 2017, section 3.1, with the mean as what gathers).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.errors import KnowledgeError
from shared.knowledge.embedding_file import StoredEmbeddings
from shared.knowledge.encoder import unseen_states
from shared.knowledge.sampling import both_ways
from shared.knowledge.triples import Graph

MOST_HOPS = 8
"""From a known entity to a new one; a mean of means of means says little, and a chain of new ones may be as long as a graph."""


def carried_over(graph: Graph, stored: StoredEmbeddings, width: int) -> NDArray[np.float32]:
    """Embeddings of all of ``graph``'s entities, float32 ``(E, width)``: those of ``stored`` by name, and :func:`inducted` ones.

    Raises :class:`KnowledgeError` for embeddings of another width, and where no entity of the graph has one.
    """
    if stored.entities.shape[1] != width:
        raise KnowledgeError(
            f"the embeddings are {stored.entities.shape[1]} wide and the federation's are {width}; embed the graph with --dim {width}"
        )
    places = {name: place for place, name in enumerate(stored.card.entities)}
    rows = np.array([places.get(name, -1) for name in graph.entities], dtype=np.int64)
    if not (rows >= 0).any():
        raise KnowledgeError("no entity of the graph is in the file of embeddings; embed this graph, or one that it grew from")
    table = np.where(rows[:, None] >= 0, stored.entities[rows], np.float32(0.0))
    return inducted(graph, table, rows >= 0)


def inducted(graph: Graph, table: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``table`` ``(E, width)`` with a row for each entity that is not ``known`` ``(E,)``: the mean over its edges to known ones.

    An entity that meets only other new ones comes after those that meet known ones, hop by hop. One that no path of
    :data:`MOST_HOPS` joins to a known entity has zeros, which is what a record that names nothing has.
    """
    (sources, targets), _ = both_ways(graph)
    found, known = table.copy(), known.copy()
    for _ in range(MOST_HOPS):
        edges = known[sources] & ~known[targets]
        owners, numbers = np.unique(targets[edges], return_inverse=True)
        if not len(owners):
            break
        found[owners] = unseen_states(found, numbers.reshape(-1), sources[edges], len(owners))
        known[owners] = True
    return found
