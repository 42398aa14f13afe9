"""What a graph alone says about the class of a record: the evidence of its findings, from triples without strengths.

A record is seen as *groups* of alternatives that exclude each other: the states of one categorical column, the ranges of one
numeric column, named or not named in a text. Each alternative may be an entity. A triple (class, shows, entity) says that the
alternative is typical of the class, not how typical. The least that this can mean is a share: records of the class show one of
its typical alternatives of that group more often than all records do, spread over them as all records spread; without a triple in
the group the class shows what all records show. With the groups taken as independent given the class (naive Bayes; Duda and Hart
1973, section 2.10) this is a likelihood of each record under each class, and :mod:`shared.knowledge.trust` asks the labels how
far to believe it. No probability of the graph's author is needed, and none is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.errors import KnowledgeError
from shared.knowledge.triples import Graph

MISSING = -1
"""The alternative of a group that a record does not tell."""
RAREST = 1e-4
"""No alternative is rarer than this under any class, so that one odd finding never rules a class out alone."""


Manner = Literal["share", "odds"]
"""How ``hold`` says that a class shows what is typical of it. ``share``: at least that share of its records do, which suits findings that
single a class out of many. ``odds``: the odds of all records times ``1 / (1 - hold)²`` (4 at one half), which suits two classes, where
what is typical of one is common in both.
"""


@dataclass(frozen=True)
class Groups:
    """``names``: one a group; ``entities``: of each group its alternatives' entities, None where an alternative has none.

    Findings are int64 ``(records, groups)``: the index of the alternative, or :data:`MISSING`.
    """

    names: tuple[str, ...]
    entities: tuple[tuple[str | None, ...], ...]

    @property
    def widest(self) -> int:
        """The alternatives of the largest group."""
        return max(len(group) for group in self.entities)

    def sizes(self) -> NDArray[np.int64]:
        """How many alternatives each group has ``(groups,)``."""
        return np.array([len(group) for group in self.entities], dtype=np.int64)

    def marginals(self, findings: NDArray[np.int64]) -> NDArray[np.float64]:
        """The share of each alternative among all records, labelled or not, one of each added ``(groups, widest)``; rows sum to 1."""
        counts = np.zeros((len(self.names), self.widest))
        for place, size in enumerate(self.sizes()):
            told = findings[:, place][findings[:, place] != MISSING]
            counts[place, :size] = np.bincount(told, minlength=size)[:size] + 1.0
        shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
        return shares


def typical(graph: Graph, classes: Sequence[str | None], groups: Groups, relations: Sequence[str] = (), hops: int = 1) -> NDArray[np.bool_]:
    """Which alternatives the graph ties to which class ``(classes, groups, widest)``: within ``hops`` triples of ``relations`` (all,
    where none is named), in either direction. A class without an entity (None) has none: it shows what all records show.

    Raises :class:`KnowledgeError` for a class entity or relation that the graph does not have. An alternative's entity may be unknown
    to the graph: it tells nothing.
    """
    missing = next((name for name in classes if name is not None and name not in graph.ids), None)
    if missing is not None:
        raise KnowledgeError(f"the class entity '{missing}' is not in the graph; correct the mapping or add its triples")
    wanted = [graph.relation(name) for name in relations] if relations else list(range(len(graph.relations)))
    edges = graph.triples[np.isin(graph.triples[:, 1], wanted)][:, [0, 2]]
    found = np.zeros((len(classes), len(groups.names), groups.widest), dtype=bool)
    for number, name in enumerate(classes):
        if name is not None:
            near = _within(edges, graph.ids[name], len(graph.entities), hops)
            for place, group in enumerate(groups.entities):
                found[number, place, : len(group)] = [entity in graph.ids and near[graph.ids[entity]] for entity in group]
    return found


def _within(edges: NDArray[np.int64], start: int, entities: int, hops: int) -> NDArray[np.bool_]:
    near = np.zeros(entities, dtype=bool)
    near[start] = True
    for _ in range(hops):
        touched = edges[near[edges[:, 0]] | near[edges[:, 1]]]
        near[touched.reshape(-1)] = True
    return near


def likelihoods(held: NDArray[np.bool_], marginals: NDArray[np.float64], hold: float, manner: Manner = "share") -> NDArray[np.float64]:
    """P(alternative | class) that the triples mean ``(classes, groups, widest)``; rows sum to 1 over a group's alternatives.

    With ``m`` the marginals and ``T`` the typical alternatives of class and group, of share ``M = sum of m over T`` and, in the class,
    of share ``S`` (:data:`Manner`)::

        P(s | c) = S · m(s) / M              for s in T
        P(s | c) = (1 - S) · m(s) / (1 - M)  for the others
        P(s | c) = m(s)                      where T is empty or is the whole group

    ``S >= M``: what is typical of a class never speaks against it, however common it is. ``hold`` lies between 0 and 1.
    """
    inside = (held * marginals).sum(axis=2, keepdims=True)
    telling = (inside > 0.0) & (inside < 1.0 - 1e-9)
    safe_inside, safe_outside = np.where(telling, inside, 1.0), np.where(telling, 1.0 - inside, 1.0)
    share = _share(inside, hold, manner)
    shares = np.where(held, share / safe_inside, (1.0 - share) / safe_outside) * marginals
    shares = np.where(telling, shares, marginals)
    there = np.broadcast_to(marginals > 0.0, shares.shape)
    floored = np.where(there, np.maximum(shares, RAREST), 0.0)
    result: NDArray[np.float64] = floored / floored.sum(axis=2, keepdims=True)
    return result


def _share(inside: NDArray[np.float64], hold: float, manner: Manner) -> NDArray[np.float64]:
    if manner == "share":
        return np.maximum(inside, hold)
    odds = (1.0 - hold) ** -2
    return odds * inside / (odds * inside + 1.0 - inside)


def log_evidence(probabilities: NDArray[np.float64], findings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log P(findings | class), up to nothing ``(records, classes)``: the sum over told groups of ``log P(alternative | class)``."""
    logs = np.log(np.where(probabilities > 0.0, probabilities, 1.0))
    total = np.zeros((len(findings), len(probabilities)))
    for place in range(findings.shape[1]):
        told = findings[:, place]
        total += np.where(told[:, None] == MISSING, 0.0, logs[:, place, np.maximum(told, 0)].T)
    return total
