"""Rounds of answers: what the coordinator asks where institutions' weights never leave them, and the student it makes in the end.

The run's vector is the consensus, the mean of the institutions' answers to the proxy records. Everything between, the masks, the
optimiser and the packed way down, treats it as it does a student (``server/phases.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server import knowledge
from server.learning import learning
from server.state import Facts, RunState
from server.toolbox import Toolbox
from shared.answers import consensus_blob, inputs_digest, table_of
from shared.config import FederationConfig, GeneratedProxy, ProxySettings
from shared.errors import ConfigError, RunError
from shared.settings import ProxyTerms
from shared.work import AnswerWork


def begun(state: RunState, config: FederationConfig, toolbox: Toolbox) -> RunState:
    """The state before the first round of answers: a consensus of zeros, and the digest of the records that it is about."""
    inputs = toolbox.proxy(state.facts.normalisation)
    facts = Facts.model_validate(state.facts.model_dump() | {"proxy_sha256": inputs_digest(inputs)})
    return replace(state, facts=facts, vector=np.zeros(len(inputs) * len(config.task.labels), np.float32))


def work(state: RunState, config: FederationConfig, toolbox: Toolbox) -> AnswerWork:
    """What the next round asks. Raises :class:`RunError` where the proxy records are others than when the run began."""
    facts, proxy = state.facts, _settings(config)
    return AnswerWork(
        **dict(learning(state, config)),
        proxy=ProxyTerms(weight=proxy.weight, temperature=proxy.temperature, bound=proxy.bound),
        records=len(_same_inputs(state, toolbox)),
        proxy_sha256=facts.proxy_sha256,
        generated=isinstance(proxy, GeneratedProxy),
        missing=proxy.missing if isinstance(proxy, GeneratedProxy) else 0.0,
    )


def content(state: RunState, config: FederationConfig, toolbox: Toolbox) -> Callable[[NDArray[np.float32]], bytes]:
    """How a consensus travels whole: behind the proxy records, unless they are generated on both sides, and a knowledge graph."""
    generated = isinstance(_settings(config), GeneratedProxy)
    return partial(
        consensus_blob,
        inputs=None if generated else _same_inputs(state, toolbox),
        attached=knowledge.attached(state, config, toolbox),
    )


def settled(state: RunState, config: FederationConfig, toolbox: Toolbox) -> RunState:
    """The state with the student that learnt from the consensus in its place; it is new to everyone, so it goes down whole."""
    _same_inputs(state, toolbox)
    # Nothing follows that could make good what the last delta left over.
    exact = state.vector + state.residual.astype(np.float32) if state.residual.size else state.vector
    consensus = table_of(exact, len(config.task.labels))
    student = toolbox.distilled(state.facts.normalisation, consensus)
    return RunState(state.facts, student)


def _same_inputs(state: RunState, toolbox: Toolbox) -> NDArray[Any]:
    inputs = toolbox.proxy(state.facts.normalisation)
    if inputs_digest(inputs) != state.facts.proxy_sha256:
        raise RunError("the proxy records are others than when the run began; restore them, or begin a run of another name")
    return inputs


def _settings(config: FederationConfig) -> ProxySettings:
    if config.proxy is None:
        raise ConfigError("the federation exchanges weights; add [proxy] to exchange answers")
    return config.proxy
