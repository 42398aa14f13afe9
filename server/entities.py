"""Entities that several institutions share: their counting, and the rows of their embeddings behind the student in the run's vector.

The rows lie there from the counting round until training ends (``shared/knowledge/slots.py``). Everything between, masks, clipping and
the packed way down, treats them as part of the student; what reads a student gets it without them, and they are never published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from server.state import FAIR_SHARE, Facts, RunState, SharedFacts
from shared.config import FederationConfig
from shared.knowledge.slots import SLOTS, slot_words, unit_of


def counted(state: RunState, counts: NDArray[np.int64], among: tuple[str, ...], config: FederationConfig) -> RunState:
    """The state after the counting round: slots that at least the smallest cohort of ``among`` uses are kept, and their rows drawn."""
    from shared.data.seeds import generator

    kept = np.flatnonzero(counts >= config.aggregation.smallest_cohort)
    shared = SharedFacts(kept=tuple(kept.tolist()), known_to=tuple(counts[kept].tolist()), among=among)
    facts = Facts.model_validate(state.facts.model_dump() | {"shared": shared.model_dump()})
    scale, width = _terms(config)
    first = generator(config.seed, "shared entities").normal(0.0, width**-0.5 * unit_of(scale, len(kept), width), len(kept) * width)
    return replace(state, facts=facts, vector=np.concatenate([state.vector, first.astype(np.float32)]))


def student_size(state: RunState, config: FederationConfig) -> int:
    """How many of the vector's numbers, from its beginning, are the student's."""
    return state.vector.size - (len(state.facts.shared.kept) * _terms(config)[1] if state.facts.shared is not None else 0)


def attached(state: RunState, config: FederationConfig) -> Mapping[str, NDArray[np.uint64]]:
    """What travels before the vector: which slots are kept."""
    shared = config.knowledge.shared if config.knowledge is not None else None
    if shared is None or state.facts.shared is None:
        return {}
    return {SLOTS: slot_words(state.facts.shared.kept, shared.slots)}


def moved(
    state: RunState, mean: NDArray[np.float64], weight: int, survivors: tuple[str, ...], config: FederationConfig
) -> NDArray[np.float32]:
    """The rows as they lie in the vector, moved by the ``mean`` update of all ``survivors``, whose weights sum to ``weight``.

    ``mean`` is ``sum_i w_i u_i / W`` over all; with ``u_i`` made up for ``w_i`` (``client/entities.py``) each row's mean over those
    ``k`` of ``n`` who were counted is ``mean * W n / (w k m)``, ``w`` the mean weight, ``m`` survivors: where some are lost, as
    many of a row's are as of all. Who knows which row nobody can tell; so one that the lost could have left below the smallest
    cohort stays as it is. No server optimiser steps here: its step knows nothing of ``unit``.
    """
    rows, shared = state.vector[student_size(state, config) :], state.facts.shared
    if shared is None or not rows.size:
        return rows
    known_to = np.array(shared.known_to, dtype=np.float64)
    lost = len(set(shared.among) - set(survivors))
    enough = known_to - lost >= config.aggregation.smallest_cohort
    factor = np.where(enough, weight * len(shared.among) / (mean_records(state) * known_to * len(survivors)), 0.0)
    change = mean[-rows.size :].reshape(len(known_to), -1) * factor[:, None]
    moved: NDArray[np.float32] = (rows.astype(np.float64) + change.reshape(-1)).astype(np.float32)
    return moved


def mean_records(state: RunState) -> float:
    """What an institution weighs on average: the weight cap is this many times it."""
    return state.facts.weight_cap / FAIR_SHARE


def settled(state: RunState, config: FederationConfig) -> RunState:
    """The state without rows, once training has ended: the student alone, which is new to everyone and goes down whole."""
    if state.facts.shared is None:
        return state
    facts = Facts.model_validate(state.facts.model_dump() | {"shared": None})
    return RunState(facts, state.vector[: student_size(state, config)].copy())


def _terms(config: FederationConfig) -> tuple[float, int]:
    # The table's scale and width.
    knowledge = config.knowledge
    assert knowledge is not None
    assert knowledge.shared is not None
    assert knowledge.embeddings is not None
    return knowledge.shared.scale, knowledge.embeddings.width
