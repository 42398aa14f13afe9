"""Neighbourhoods of a large graph, a few neighbours a hop, so that a step costs what its batch needs (Hamilton et al. 2017, section 3.1).

torch-geometric's own ``NeighborLoader`` needs pyg-lib or torch-sparse, compiled for one torch each; neither is there for every torch, and
both would bind this to their release. This is the same sampling over plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.knowledge.triples import Graph


@dataclass(frozen=True)
class Subgraph:
    """``nodes``: entities, the seeds first and in their order; ``edges`` int64 ``(2, m)``: from and to, as indices into ``nodes``;
    ``kinds`` int64 ``(m,)``: relation, or ``relations + relation`` for an edge that is walked from its tail to its head.
    """

    nodes: NDArray[np.int64]
    edges: NDArray[np.int64]
    kinds: NDArray[np.int64]


def both_ways(graph: Graph) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All edges ``(2, 2n)`` and their kinds ``(2n,)``: each triple from head to tail, and back as an inverse relation (Schlichtkrull et al.
    2018, section 2.1).
    """
    heads, relations, tails = graph.triples.T
    edges = np.stack([np.concatenate([heads, tails]), np.concatenate([tails, heads])])
    return edges, np.concatenate([relations, relations + len(graph.relations)])


class Neighbours:
    """The edges into each entity, ready to be sampled."""

    def __init__(self, graph: Graph) -> None:
        edges, kinds = both_ways(graph)
        order = np.argsort(edges[1], kind="stable")
        self._from, self._kinds, self._to = edges[0][order], kinds[order], edges[1][order]
        self._starts = np.searchsorted(self._to, np.arange(len(graph.entities) + 1))

    def sample(self, seeds: NDArray[np.int64], fanouts: Sequence[int], random: np.random.Generator) -> Subgraph:
        """The seeds (each once), at most ``fanouts[0]`` edges into each, at most ``fanouts[1]`` into each of those, and so on.

        An entity with no more edges than the fanout keeps them all; else it draws with replacement, and an edge that is drawn twice
        stands once.
        """
        known, frontier, chosen = seeds, seeds, [np.empty(0, dtype=np.int64)]
        for fanout in fanouts:
            chosen.append(self._into(frontier, fanout, random))
            frontier = np.setdiff1d(self._from[chosen[-1]], known)
            known = np.concatenate([known, frontier])
        rows = np.unique(np.concatenate(chosen))
        order = np.argsort(known)
        edges = order[np.searchsorted(known[order], np.stack([self._from[rows], self._to[rows]]))]
        return Subgraph(known, edges, self._kinds[rows])

    def _into(self, nodes: NDArray[np.int64], fanout: int, random: np.random.Generator) -> NDArray[np.int64]:
        starts, counts = self._starts[nodes], self._starts[nodes + 1] - self._starts[nodes]
        few = counts <= fanout
        offsets = np.repeat(np.cumsum(counts[few]) - counts[few], counts[few])
        whole = np.repeat(starts[few], counts[few]) + np.arange(int(counts[few].sum())) - offsets
        drawn = starts[~few, None] + (random.random((int((~few).sum()), fanout)) * counts[~few, None]).astype(np.int64)
        return np.unique(np.concatenate([whole, drawn.reshape(-1)]))
