"""What a graph looks like from outside: how large, how connected, around whom."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from shared.frozen import Frozen
from shared.knowledge.triples import Graph


class GraphFacts(Frozen):
    """``relations``: triples by relation, the most frequent first; ``isolated``: entities without a triple; ``degrees``: the smallest, the
    median, the 90th percentile and the largest number of triples an entity is in; ``most_connected``: entities and their degrees;
    ``components``: entities of each connected part, the largest first; ``first`` and ``last``: the dates, where there are any.
    """

    entities: int
    triples: int
    relations: dict[str, int]
    isolated: int
    degrees: tuple[float, float, float, float]
    most_connected: tuple[tuple[str, int], ...]
    components: tuple[int, ...]
    first: int | None = None
    last: int | None = None
    digest: str


def facts_of(graph: Graph, *, most: int = 10) -> GraphFacts:
    """The facts of ``graph``, with at most ``most`` of its most connected entities."""
    degrees = graph.degrees()
    counts = np.bincount(graph.triples[:, 1], minlength=len(graph.relations))
    order = np.argsort(-counts, kind="stable")
    top = [int(place) for place in np.argsort(-degrees, kind="stable")[:most] if degrees[place]]
    times = graph.times if graph.times is not None and len(graph) else None
    return GraphFacts(
        entities=len(graph.entities),
        triples=len(graph),
        relations={graph.relations[place]: int(counts[place]) for place in order if counts[place]},
        isolated=int((degrees == 0).sum()),
        degrees=_spread(degrees),
        most_connected=tuple((graph.entities[place], int(degrees[place])) for place in top),
        components=_components(graph),
        first=None if times is None else int(times.min()),
        last=None if times is None else int(times.max()),
        digest=graph.digest(),
    )


def _spread(degrees: np.ndarray) -> tuple[float, float, float, float]:
    if not len(degrees):
        return (0.0, 0.0, 0.0, 0.0)
    low, middle, high, largest = np.quantile(degrees, (0.0, 0.5, 0.9, 1.0)).tolist()
    return low, middle, high, largest


def _components(graph: Graph) -> tuple[int, ...]:
    count = len(graph.entities)
    if not count:
        return ()
    edges = coo_array((np.ones(len(graph), dtype=np.int8), (graph.triples[:, 0], graph.triples[:, 2])), shape=(count, count))
    _, members = connected_components(edges, directed=False)
    return tuple(sorted(np.bincount(members).tolist(), reverse=True))
