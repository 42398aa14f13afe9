"""A knowledge graph: named entities, named relations, and weighted triples (head, relation, tail) between them.

A graph is a value: equal triples in any order make the same graph, with the same digest. Arrays are read-only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from shared.errors import KnowledgeError
from shared.knowledge.names import MAX_NAME, unknown

MAX_TRIPLES = 20_000_000
"""More are refused: an int64 triple with its weight is 28 bytes, so this is half a gigabyte."""
LEAST_WEIGHT, LARGEST_WEIGHT = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
"""A weight is kept as float32; beyond these it would be 0 or infinite."""

Row = tuple[str, str, str, float]
"""Head, relation, tail and weight, by name."""


@dataclass(frozen=True)
class Graph:
    """``triples``: int64 ``(n, 3)``, indices of head and tail into ``entities`` and of the relation into ``relations``; ``weights``:
    float32 ``(n,)``, positive; ``times``: int64 ``(n,)``, when each triple began to hold, or None where knowledge has no date.

    Laws, checked where a graph is made: names are unique and not empty, indices are in range, no triple stands twice (at the same
    time), weights are finite and positive. Raises :class:`KnowledgeError` where one is broken.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: NDArray[np.int64]
    weights: NDArray[np.float32]
    times: NDArray[np.int64] | None = None
    ids: dict[str, int] = field(init=False, repr=False, compare=False)
    """The index of each entity by its name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", {name: number for number, name in enumerate(self.entities)})
        _check_names("entity", self.entities)
        _check_names("relation", self.relations)
        _check_arrays(self)
        for array in (self.triples, self.weights, self.times):
            if array is not None:
                array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.triples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.digest() == other.digest()

    __hash__ = None  # type: ignore[assignment]  # a graph is compared by its digest; hash that

    def digest(self) -> str:
        """SHA-256 (hex) of the named triples with weights and times, whatever their order, and of entities without triples."""
        digest = hashlib.sha256()
        for name in sorted(self.entities):
            digest.update(f"{len(name)}:{name}".encode())
        times = np.zeros(len(self), dtype=np.int64) if self.times is None else self.times
        lines = sorted(
            repr((self.entities[head], self.relations[relation], self.entities[tail], weight, time))
            for (head, relation, tail), weight, time in zip(self.triples.tolist(), self.weights.tolist(), times.tolist(), strict=True)
        )
        digest.update("\n".join(lines).encode())
        return digest.hexdigest()

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Graph:
        """The graph of the triples at ``rows`` alone; all entities and relations stay, so indices keep their meaning."""
        times = None if self.times is None else self.times[rows]
        return Graph(self.entities, self.relations, self.triples[rows], self.weights[rows], times)

    def before(self, time: int) -> Graph:
        """What held before ``time``: triples without a date, or with an earlier one. An edge exists only after it happened."""
        return self if self.times is None else self.take(self.times < time)

    def firsts(self) -> Graph:
        """Each triple once: where it has several dates, at the first, with the weight it had then."""
        if self.times is None:
            return self
        order = np.argsort(self.times, kind="stable")
        _, first = np.unique(self.triples[order], axis=0, return_index=True)
        return self.take(order[first])

    def entity(self, name: str) -> int:
        """The index of the entity ``name``. Raises :class:`KnowledgeError` with the nearest names."""
        if name not in self.ids:
            raise KnowledgeError(unknown("the graph", "entity", name, self.entities))
        return self.ids[name]

    def relation(self, name: str) -> int:
        """The index of the relation ``name``. Raises :class:`KnowledgeError` that lists those there are."""
        if name not in self.relations:
            raise KnowledgeError(f"the graph has no relation '{name}'; it has {', '.join(self.relations[:12])}")
        return self.relations.index(name)

    def degrees(self) -> NDArray[np.int64]:
        """How many triples each entity is head or tail of ``(entities,)``."""
        return np.bincount(self.triples[:, [0, 2]].reshape(-1), minlength=len(self.entities))

    def neighbourhood(self, entity: str, hops: int = 1) -> Graph:
        """The triples within ``hops`` of ``entity``, without dates and with only their own entities; raises as :meth:`entity`."""
        reached = np.zeros(len(self.entities), dtype=bool)
        reached[self.entity(entity)] = True
        near = np.zeros(len(self), dtype=bool)
        for _ in range(hops):
            near = reached[self.triples[:, 0]] | reached[self.triples[:, 2]]
            reached[self.triples[near][:, [0, 2]].reshape(-1)] = True
        return graph_of(self.rows(near))

    def rows(self, chosen: NDArray[np.bool_] | None = None) -> Iterable[Row]:
        """The triples by name, all or the chosen ones, in their order."""
        keep = slice(None) if chosen is None else chosen
        for (head, relation, tail), weight in zip(self.triples[keep].tolist(), self.weights[keep].tolist(), strict=True):
            yield self.entities[head], self.relations[relation], self.entities[tail], weight


def graph_of(rows: Iterable[Row], entities: Iterable[str] = (), times: Sequence[int] | None = None) -> Graph:
    """The graph of named rows; a triple that stands more than once (at the same time) keeps its largest weight. ``entities``: names
    that are to be there even without a triple. ``times``: one a row, or None where knowledge has no date. Entities and relations are
    sorted by name, so equal rows in any order give equal arrays.

    Raises :class:`KnowledgeError` as :class:`Graph`, and above :data:`MAX_TRIPLES`.
    """
    weights: dict[tuple[str, str, str, int], float] = {}
    dates = repeat(0) if times is None else times
    # Dates may be endless; that there is one a row is the caller's to see to.
    for (head, relation, tail, weight), time in zip(rows, dates, strict=False):
        key = (head, relation, tail, time)
        weights[key] = max(weight, weights.get(key, weight))
        if len(weights) > MAX_TRIPLES:
            raise KnowledgeError(f"more than {MAX_TRIPLES} triples; leave relations out or split the graph")
    keys = sorted(weights)
    names = sorted({name for head, _, tail, _ in keys for name in (head, tail)} | set(entities))
    relations = sorted({relation for _, relation, _, _ in keys})
    ids, kinds = ({name: number for number, name in enumerate(found)} for found in (names, relations))
    triples = np.array([(ids[head], kinds[relation], ids[tail]) for head, relation, tail, _ in keys], dtype=np.int64).reshape(-1, 3)
    found = np.array([weights[key] for key in keys], dtype=np.float32)
    kept = None if times is None else np.array([time for *_, time in keys], dtype=np.int64)
    return Graph(tuple(names), tuple(relations), triples, found, kept)


def joined(first: Graph, second: Graph) -> Graph:
    """All triples of both; one that both have keeps its larger weight. Only for graphs without dates."""
    if first.times is not None or second.times is not None:
        raise KnowledgeError("graphs with dates cannot be joined; join what they hold before one date")
    return graph_of([*first.rows(), *second.rows()], entities=(*first.entities, *second.entities))


def shuffled(graph: Graph, seed: int) -> Graph:
    """The control: the same entities, relations and degrees, with the tails of each relation dealt out anew by ``seed``.

    What still helps after this is not knowledge. A triple that the deal makes twice is kept once.
    """
    random = np.random.default_rng(seed)
    triples = graph.triples.copy()
    for relation in range(len(graph.relations)):
        rows = np.flatnonzero(triples[:, 1] == relation)
        triples[rows, 2] = triples[random.permutation(rows), 2]
    _, first = np.unique(triples, axis=0, return_index=True)
    first.sort()
    times = None if graph.times is None else graph.times[first]
    return Graph(graph.entities, graph.relations, triples[first], graph.weights[first], times)


def _check_names(what: str, names: tuple[str, ...]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise KnowledgeError(f"the {what} '{twice[:80]}' is declared twice; name it once")
    for name in names:
        if not name.strip() or len(name) > MAX_NAME:
            raise KnowledgeError(f"a name of {len(name)} characters cannot be that of one {what}; use 1 to {MAX_NAME}")


def _check_arrays(graph: Graph) -> None:
    triples, weights = graph.triples, graph.weights
    if triples.dtype != np.int64 or triples.shape != (len(weights), 3):
        raise KnowledgeError(f"triples must be int64 of shape ({len(weights)}, 3), not {triples.dtype} of {triples.shape}")
    if weights.dtype != np.float32 or not bool(np.all(np.isfinite(weights) & (weights > 0))):
        raise KnowledgeError("weights must be float32, finite and above 0; leave a triple out to give it no weight")
    bounds = np.array([len(graph.entities), len(graph.relations), len(graph.entities)])
    if len(triples) and (triples.min() < 0 or bool((triples >= bounds).any())):
        raise KnowledgeError("a triple points outside the graph's entities or relations; build the graph by names")
    columns = triples if graph.times is None else np.column_stack([triples, graph.times])
    if len(np.unique(columns, axis=0)) != len(columns):
        raise KnowledgeError("a triple stands twice; build the graph with graph_of, which keeps the larger weight")
