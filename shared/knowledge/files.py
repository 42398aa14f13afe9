"""Triples from any file that fedstill reads, by its suffix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shared.errors import KnowledgeError
from shared.knowledge.reading import Reading
from shared.knowledge.tables import read_table
from shared.knowledge.triples import graph_of

RDF = (".nt", ".ttl")
"""Suffixes of N-Triples and Turtle, for which rdflib is needed."""


def read_graph(path: Path) -> Reading:
    """The graph of a ``.tsv``, ``.csv``, ``.nt`` or ``.ttl`` file, packed with gzip (``.gz``) or not.

    A Bayesian network (``.bif``) is no graph until it is said of which variable: ``fedstill knowledge build`` makes one of it. Raises
    as the readers do, and :class:`KnowledgeError` for another suffix. What is learnt from has no dates: a triple with several stands once.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix == ".bif":
        raise KnowledgeError(f"{path} is a Bayesian network; make triples of it by `fedstill knowledge build`")
    if suffix in RDF:
        from shared.knowledge.rdf import read_rdf

        return read_rdf(path)
    found = read_table(path)
    if found.graph.times is None:
        return found
    plain = graph_of(found.graph.rows(), found.graph.entities)
    return replace(found, graph=plain, repeated=found.rows - found.bad - len(plain))
