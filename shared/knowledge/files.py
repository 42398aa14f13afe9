"""The triples that a fit learns from, out of any file that fedstill reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shared.errors import KnowledgeError
from shared.knowledge import bif, opening
from shared.knowledge.packing import plain_suffix
from shared.knowledge.reading import Reading
from shared.knowledge.triples import graph_of


def read_graph(path: Path) -> Reading:
    """As :func:`shared.knowledge.opening.read_graph`, without dates, which no fit looks at: a triple with several stands once.

    A Bayesian network (``.bif``) is refused: which of its variables is what triples are about only a person can say.
    """
    if plain_suffix(path) == bif.SUFFIX:
        raise KnowledgeError(f"{path} is a Bayesian network; make triples of it by `fedstill knowledge build`")
    found = opening.read_graph(path)
    if found.graph.times is None:
        return found
    plain = graph_of(found.graph.rows(), found.graph.entities)
    return replace(found, graph=plain, repeated=found.rows - found.bad - len(plain))
