"""How well a model completes triples that it has not seen: ranks, filtered, of the right tail and the right head among all entities.

Bordes et al. 2013, section 4.1: other entities that also make a true triple are left out of the ranking, for to score them above is no
error. Ties get the mean of the ranks they share (Sun et al. 2020, section 4): a model that scores all alike is no good one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from shared.knowledge.predictor import LinkPredictor, Side
from shared.knowledge.triples import Graph

SHARE = 0.1
"""The most of a graph that is held out."""
CELLS = 1 << 24
"""Scores held at a time: 64 MB."""
SIDES: tuple[Side, Side] = ("tail", "head")


class Scorer(Protocol):
    """What can be ranked."""

    def scores(self, known: NDArray[np.int64], relations: NDArray[np.int64], side: Side) -> NDArray[np.float32]:
        """``(n, E)``: each entity as the missing end of (known, relation, ?), or of (?, relation, known). Both arguments ``(n,)``."""
        ...


class Learnt:
    """A fitted model as a :class:`Scorer`."""

    def __init__(self, model: LinkPredictor) -> None:
        self._model = model

    def scores(self, known: NDArray[np.int64], relations: NDArray[np.int64], side: Side) -> NDArray[np.float32]:
        """By the model."""
        with torch.no_grad():
            model = self._model
            questions = model.questions(model.entities[torch.from_numpy(known)], model.relations[torch.from_numpy(relations)], side)
            found: NDArray[np.float32] = model.match(questions, model.entities).numpy()
        return found


class Popularity:
    """The baseline that knows no entity: an answer scores as often as it stood at that end of that relation in ``graph``."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def scores(self, known: NDArray[np.int64], relations: NDArray[np.int64], side: Side) -> NDArray[np.float32]:
        """By counting; ``known`` does not matter."""
        found = np.empty((len(known), len(self._graph.entities)), dtype=np.float32)
        column = 2 if side == "tail" else 0
        for relation in np.unique(relations):
            ends = self._graph.triples[self._graph.triples[:, 1] == relation, column]
            found[relations == relation] = np.bincount(ends, minlength=found.shape[1])
        return found


@dataclass(frozen=True)
class Ranks:
    """``values``: float64 ``(n, 2)``, the rank of each triple's tail and head, 1 the best; halves where scores tie."""

    values: NDArray[np.float64]

    @property
    def mrr(self) -> float:
        """The mean of 1 / rank, over both sides."""
        return float((1.0 / self.values).mean())

    def hits(self, most: int) -> float:
        """The share of ranks that are at most ``most``."""
        return float((self.values <= most).mean())


def held_out(graph: Graph, most: int, seed: int) -> tuple[Graph, NDArray[np.int64]]:
    """``graph`` without some triples, and these ``(n, 3)``: at most ``most``, at most :data:`SHARE` of all, drawn by ``seed``, each only if
    its ends and its relation keep another triple to be learnt from. Of a graph with dates the latest triples are held out instead: what
    came later is no help to foresee what came earlier.
    """
    wanted = min(most, int(SHARE * len(graph)))
    degrees, uses = graph.degrees(), np.bincount(graph.triples[:, 1], minlength=len(graph.relations))
    chosen = list[int]()
    for row in _order(graph, seed):
        if len(chosen) == wanted:
            break
        head, relation, tail = graph.triples[row]
        if degrees[head] > 1 + (head == tail) and degrees[tail] > 1 + (head == tail) and uses[relation] > 1:
            chosen.append(int(row))
            degrees[head] -= 1
            degrees[tail] -= 1
            uses[relation] -= 1
    keep = np.ones(len(graph), dtype=bool)
    keep[chosen] = False
    return graph.take(keep), graph.triples[~keep]


def _order(graph: Graph, seed: int) -> Iterator[int]:
    drawn = np.random.default_rng(seed).permutation(len(graph))
    if graph.times is not None:
        drawn = drawn[np.argsort(-graph.times[drawn], kind="stable")]
    yield from drawn.tolist()


def filtered_ranks(
    scorer: Scorer, graph: Graph, triples: NDArray[np.int64], *, on_step: Callable[[int, int], None] = lambda done, total: None
) -> Ranks:
    """The ranks of ``triples (n, 3)``. ``graph``: everything that is true, these among it."""
    ranks = np.empty((len(triples), 2))
    step = max(1, CELLS // max(1, len(graph.entities)))
    for place, side in enumerate(SIDES):
        true = _Truths(graph, side)
        for start in range(0, len(triples), step):
            part = triples[start : start + step]
            ends = part if side == "tail" else part[:, ::-1]
            scores = scorer.scores(ends[:, 0].copy(), part[:, 1].copy(), side)
            ranks[start : start + step, place] = [
                _rank(row, int(end[2]), true.of(int(end[0]), int(end[1]))) for row, end in zip(scores, ends, strict=True)
            ]
            on_step(place * len(triples) + start + len(part), 2 * len(triples))
    return Ranks(ranks)


def _rank(scores: NDArray[np.float32], right: int, true: NDArray[np.int64]) -> float:
    own = scores[right]
    others = np.delete(scores, np.append(true, right))
    return 1.0 + float((others > own).sum()) + 0.5 * float((others == own).sum())


class _Truths:
    """The entities that truly stand at one side, by the other end and the relation."""

    def __init__(self, graph: Graph, side: Side) -> None:
        known, wanted = (0, 2) if side == "tail" else (2, 0)
        self._kinds = max(1, len(graph.relations))
        keys = graph.triples[:, known] * self._kinds + graph.triples[:, 1]
        order = np.argsort(keys, kind="stable")
        self._keys, self._answers = keys[order], graph.triples[order, wanted]

    def of(self, known: int, relation: int) -> NDArray[np.int64]:
        key = known * self._kinds + relation
        found: NDArray[np.int64] = self._answers[slice(*np.searchsorted(self._keys, [key, key + 1]))]
        return found
