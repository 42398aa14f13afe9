from __future__ import annotations

import numpy as np
import pytest

from shared.errors import KnowledgeError
from shared.knowledge.bif import Network, Node
from shared.knowledge.elicited import network_arcs, network_triples

NETWORK = Network(
    {
        "d": Node("d", ("flu", "cold"), (), np.array([0.2, 0.8])),
        "f": Node("f", ("yes", "no"), ("d",), np.array([[0.9, 0.1], [0.1, 0.9]])),
        "g": Node("g", ("hi", "lo"), ("f",), np.array([[0.5, 0.5], [0.5, 0.5]])),
    }
)


def test_a_triple_stands_where_a_state_is_common_and_lifted() -> None:
    # P(f=yes) is 0.26: flu's 0.9 is over twice that. Nothing tells of g.
    graph = network_triples(NETWORK, "d")
    assert list(graph.rows()) == [("flu", "shows", "f=yes", 1.0)]
    assert set(graph.entities) == {"flu", "cold", "f=yes", "f=no", "g=hi", "g=lo"}


def test_thresholds_and_names_are_the_callers() -> None:
    assert len(network_triples(NETWORK, "d", lift=4.0)) == 0
    assert set(network_triples(NETWORK, "d", ["f"], lift=1.0, named_by="d").rows()) == {
        ("d=flu", "shows", "f=yes", 1.0),
        ("d=cold", "shows", "f=no", 1.0),
    }
    with pytest.raises(KnowledgeError, match="no variable 'x'"):
        network_triples(NETWORK, "x")


def test_arcs_say_what_each_variable_tells_of_its_children() -> None:
    graph = network_arcs(NETWORK)
    assert list(graph.rows()) == [("d=flu", "shows", "f=yes", 1.0)]
    assert {"f=no", "g=hi", "g=lo", "d=cold"} <= set(graph.entities)
    assert len(network_arcs(NETWORK, lift=1.0, minimum=0.0)) > 2


def test_a_state_that_never_happens_shows_nothing() -> None:
    never = Network({**NETWORK.nodes, "d": Node("d", ("flu", "cold"), (), np.array([0.0, 1.0]))})
    assert not list(network_triples(never, "d").rows())
    assert {head for head, *_ in network_triples(never, "d", lift=1.0).rows()} == {"cold"}
