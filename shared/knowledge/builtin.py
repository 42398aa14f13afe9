"""The graphs inside the package, by name, and what a federation's settings make of them: one place that knows which is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.errors import KnowledgeError
from shared.knowledge import linking
from shared.knowledge.heart import MAPPING as HEART_MAPPING
from shared.knowledge.heart import read_heart_graph
from shared.knowledge.linking import TableMapping
from shared.knowledge.triples import Graph

if TYPE_CHECKING:
    from shared.config import KnowledgeSettings

GRAPHS: Mapping[str, Callable[[], Graph]] = {"heart": read_heart_graph}
"""What each built-in graph is read by."""
MAPPINGS: Mapping[str, TableMapping] = {"heart": HEART_MAPPING}
"""How the built-in records name each one's entities."""


def builtin_graph(name: str) -> Graph:
    """The built-in graph ``name``. Raises :class:`KnowledgeError` for a name that is none."""
    if name not in GRAPHS:
        raise KnowledgeError(f"there is no built-in graph '{name}'; there are: {', '.join(GRAPHS)}")
    return GRAPHS[name]()


def mapping_of(settings: KnowledgeSettings) -> linking.Mapping | None:
    """The mapping of a federation: its own, else the built-in graph's."""
    return settings.mapping if settings.mapping is not None or settings.builtin is None else MAPPINGS[settings.builtin]


def graph_of(settings: KnowledgeSettings) -> Graph | None:
    """The public graph of a federation, ``None`` where it has none. Raises as the reader of its file."""
    from shared.knowledge.files import read_graph

    if settings.builtin is not None:
        return builtin_graph(settings.builtin)
    return None if settings.path is None else read_graph(settings.path).graph
