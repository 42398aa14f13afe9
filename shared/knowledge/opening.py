"""Any graph by its name: a built-in one, or a file whose suffix says how it is read."""

from __future__ import annotations

from pathlib import Path

from shared.errors import KnowledgeError
from shared.knowledge import bif, rdf, tables
from shared.knowledge.builtin import GRAPHS, builtin_graph
from shared.knowledge.elicited import network_arcs, network_triples
from shared.knowledge.packing import plain_suffix
from shared.knowledge.reading import SHOWN, Reading


def read_graph(name: str | Path, *, target: str | None = None, shown: int = SHOWN) -> Reading:
    """The graph called ``name`` (:data:`GRAPHS`) or in the file ``name``: TSV, CSV, N-Triples, Turtle or BIF, packed with gzip or not.

    ``target``: of a Bayesian network, the variable whose states the triples are about; without it each variable that has children.
    ``shown``: how many bad rows keep their reason. Raises :class:`KnowledgeError` for another suffix and for what its reader refuses;
    :class:`MissingFileError`.
    """
    if str(name) in GRAPHS:
        # A name has no suffix, so no file that could be read is hidden by it.
        known = builtin_graph(str(name))
        return Reading(known, len(known), 0, 0, ())
    path = Path(name)
    suffix = plain_suffix(path)
    if suffix in tables.SUFFIXES:
        return tables.read_table(path, shown=shown)
    if suffix in rdf.SUFFIXES:
        return rdf.read_rdf(path, shown=shown)
    if suffix == bif.SUFFIX:
        return _network(path, target)
    suffixes = ", ".join((*tables.SUFFIXES, *rdf.SUFFIXES, bif.SUFFIX))
    raise KnowledgeError(f"{name} is no graph that can be read; give a file named {suffixes} (.gz), or a built-in one: {', '.join(GRAPHS)}")


def _network(path: Path, target: str | None) -> Reading:
    network = bif.read_network(path)
    graph = network_arcs(network) if target is None else network_triples(network, target, named_by=target)
    if not len(graph):
        raise KnowledgeError(f"{path} has no state that is typical of another; name a variable with --about")
    return Reading(graph, len(graph), 0, 0, ())
