"""Triples from a Bayesian network: which state of which variable is typical of which state of another. Strengths are dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.knowledge.bif import Network
from shared.knowledge.triples import Graph, graph_of

SHOWS = "shows"
"""The relation of such a triple."""


def state_name(variable: str, state: str) -> str:
    """The entity of a variable's state: ``F1=Present``."""
    return f"{variable}={state}"


def network_arcs(network: Network, *, minimum: float = 0.25, lift: float = 2.0) -> Graph:
    """:func:`network_triples` of each variable about its children alone: what the network's own arcs say, named ``variable=state``."""
    parts = []
    for name in network.nodes:
        if children := [other for other, node in network.nodes.items() if name in node.parents]:
            parts.append(network_triples(network, name, children, minimum=minimum, lift=lift, named_by=name))
    return graph_of((row for part in parts for row in part.rows()), (name for part in parts for name in part.entities))


def network_triples(
    network: Network, target: str, findings: Sequence[str] = (), *, minimum: float = 0.25, lift: float = 2.0, named_by: str | None = None
) -> Graph:
    """(target's state, shows, finding's state) wherever ``P(finding | target) >= minimum`` and ``>= lift · P(finding)``, exactly.

    ``findings``: variables, all others where none is named. ``named_by``: a text before each state of the target, so that
    ``present`` of two diseases are two entities. Weights are 1: the probabilities stay with the network. Every state is an entity,
    with a triple or without. Raises :class:`KnowledgeError` for an unknown variable.
    """
    network.ancestors(target)  # says what is wrong with an unknown name
    node, rows, names = network.nodes[target], list[tuple[str, str, str, float]](), list[str]()
    heads = [state if named_by is None else state_name(named_by, state) for state in node.states]
    for finding in findings or [name for name in network.nodes if name != target]:
        joint = network.joint(target, finding)
        # A state that never happens shows nothing.
        among, alone = joint.sum(axis=1, keepdims=True), joint.sum(axis=0)
        given = np.divide(joint, among, out=np.zeros_like(joint), where=among > 0.0)
        tails = [state_name(finding, state) for state in network.nodes[finding].states]
        names += tails
        for head, tail in zip(*np.nonzero((given >= minimum) & (given >= lift * alone)), strict=True):
            rows.append((heads[head], SHOWS, tails[tail], 1.0))
    return graph_of(rows, entities=(*heads, *names))
