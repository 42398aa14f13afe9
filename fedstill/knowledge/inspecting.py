"""What a graph says of one entity, what lies near it, and how far the columns of a federation reach into the graph."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

from shared.config import FederationConfig, check_config, load_config
from shared.errors import ConfigError
from shared.files import read_bytes
from shared.frozen import Frozen
from shared.knowledge.builtin import MAPPINGS, mapping_of
from shared.knowledge.coverage import Coverage, coverage
from shared.knowledge.facts import GraphFacts
from shared.knowledge.linking import TableMapping
from shared.knowledge.triples import Graph
from shared.task import TabularTask

Triple = tuple[str, str, str, float]


class EntityFacts(Frozen):
    """One entity: its triples as head and as tail, and within how many hops ``reached`` other entities lie."""

    entity: str
    as_head: tuple[Triple, ...]
    as_tail: tuple[Triple, ...]
    hops: int
    reached: int


class Inspection(Frozen):
    """``graph``: the whole; ``bad``: its rows that are no triples; the others only where they were asked for: ``nearest`` are entities and
    cosines, ``left_out`` neighbours that the picture does not show.
    """

    graph: GraphFacts
    bad: int
    bad_rows: tuple[str, ...]
    entity: EntityFacts | None = None
    nearest: tuple[tuple[str, float], ...] | None = None
    coverage: Coverage | None = None
    plot: Path | None = None
    left_out: int = 0


def entity_facts(graph: Graph, entity: str, hops: int = 1) -> EntityFacts:
    """The triples of ``entity`` in both directions. Raises :class:`KnowledgeError` with the nearest names for one that is not there."""
    number = graph.entity(entity)
    heads, tails = graph.triples[:, 0] == number, graph.triples[:, 2] == number
    near = graph.neighbourhood(entity, hops)
    return EntityFacts(
        entity=entity,
        as_head=tuple(graph.rows(heads)),
        as_tail=tuple(graph.rows(np.logical_and(tails, ~heads))),
        hops=hops,
        reached=max(0, len(near.entities) - 1),
    )


def links(graph: Graph, config: Path, mapping: str | None = None) -> Coverage:
    """How the columns of the federation in ``config`` meet ``graph`` by ``mapping``: a TOML file, or the name of a built-in graph; left
    out, that of the federation's own ``[knowledge]``.

    Raises :class:`ConfigError` for a federation of anything but tables, and what reading and :func:`coverage` raise.
    """
    federation = load_config(FederationConfig, config)
    task = federation.task
    if not isinstance(task, TabularTask):
        raise ConfigError(
            f"{config} is a federation of {task.family} records, and a mapping links the columns of tables; leave --mapping out"
        )
    own = mapping_of(federation.knowledge) if federation.knowledge is not None else None
    found = own if mapping is None else read_mapping(mapping)
    if not isinstance(found, TableMapping):
        raise ConfigError(f"{config} has no [knowledge.mapping] of columns; write one there or give --mapping")
    return coverage(graph, found, task)


def read_mapping(name: str) -> TableMapping:
    """A mapping from a TOML file with the keys of :class:`TableMapping`, or a built-in graph's own.

    Raises :class:`MissingFileError`, and :class:`ConfigError` that names the file and the key.
    """
    if name in MAPPINGS:
        return MAPPINGS[name]
    try:
        table = tomllib.loads(read_bytes(Path(name), what="mapping").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} is not valid TOML: {error}") from error
    return check_config(TableMapping, table, where=name)
