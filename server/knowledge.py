"""What a public knowledge graph adds to a run: its bytes before every model that goes down, and its terms in every learning work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from server import entities
from server.state import Facts, RunState
from server.toolbox import Toolbox
from shared.attached import GRAPH, MAPPING, sized_words
from shared.config import FederationConfig
from shared.errors import RunError
from shared.knowledge.builtin import mapping_of
from shared.settings import KnowledgeTerms
from shared.work import FIXED_POINT, KnowledgeWork


def begun(state: RunState, config: FederationConfig, toolbox: Toolbox) -> Facts:
    """The facts of a run that begins to learn: with the digest of the public graph, where it has one."""
    digest = _digest(toolbox.graph()) if config.knowledge is not None else ""
    return Facts.model_validate(state.facts.model_dump() | {"graph_sha256": digest})


def work(state: RunState, config: FederationConfig) -> KnowledgeWork | None:
    """What the next round asks of knowledge; ``None`` where the federation has none."""
    if config.knowledge is None:
        return None
    terms = {name: getattr(config.knowledge, name) for name in KnowledgeTerms.model_fields}
    mapping, mean = _digest(_mapping(config)), entities.mean_records(state)
    return KnowledgeWork(**terms, graph_sha256=state.facts.graph_sha256, mapping_sha256=mapping, mean_records=mean)


def attached(state: RunState, config: FederationConfig, toolbox: Toolbox) -> Mapping[str, NDArray[np.uint64]]:
    """What travels before the model: the graph, how records name its entities, and which of them are shared.

    Raises as :func:`public_graph`.
    """
    mapping = _mapping(config)
    named = {MAPPING: sized_words(mapping)} if mapping else {}
    return {**public_graph(state, config, toolbox), **named, **entities.attached(state, config)}


def public_graph(state: RunState, config: FederationConfig, toolbox: Toolbox) -> Mapping[str, NDArray[np.uint64]]:
    """The graph as it travels. Raises :class:`RunError` where it is another than when the run began."""
    if config.knowledge is None or not state.facts.graph_sha256:
        return {}
    content = toolbox.graph()
    if _digest(content) != state.facts.graph_sha256:
        raise RunError("the knowledge graph is another than when the run began; restore it, or begin a run of another name")
    return {GRAPH: sized_words(content)}


def metrics(counters: Mapping[str, NDArray[np.int64]], survivors: int) -> dict[str, float]:
    """A learning round's figures of knowledge: the mean trust of the survivors, and the part of them that learn from a graph."""
    if "eval_trust" not in counters:
        return {}
    trust, knowing = int(counters["eval_trust"][0]), int(counters["eval_knowing"][0])
    return {"knowledge_trust": trust / FIXED_POINT / survivors, "knowledge_used": knowing / survivors}


def _mapping(config: FederationConfig) -> bytes:
    found = mapping_of(config.knowledge) if config.knowledge is not None else None
    return found.canonical() if found is not None else b""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if content else ""
