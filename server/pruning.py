"""Pruning in a run: once training has ended the student's parts are weighed, the weightiest become a smaller student, and rounds heal it.

Who decides is the coordinator, from sums alone. Where nothing is worth removing within the settings' bounds the student stays as it is, and
nothing has to be healed. Where the gate then signs nothing of the smaller one for what it loses, the run goes back to the larger.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server import annealing
from server.state import Facts, RunState
from shared.config import FederationConfig
from shared.settings import NetworkSettings

WHOLE, KEPT, UNDONE = "parameters", "parameters_kept", "pruning_undone"
"""Figures of rounds: how many parameters the student had, how many are left of it, and, as 1, that it has them all again."""


def follows(state: RunState, config: FederationConfig) -> bool:
    """Whether the end of training is followed by pruning: where it is asked for, once, and before the student learns with the grid."""
    facts = state.facts
    return config.compression.prune > 0 and facts.student is None and facts.undone is None and facts.float_version is None


def last_version(state: RunState, config: FederationConfig) -> int:
    """The version with which training, or healing, ends."""
    facts = state.facts
    return config.rounds if facts.student is None else facts.begun + config.compression.healing_rounds


def span(state: RunState, config: FederationConfig) -> tuple[float, float]:
    """As :func:`server.annealing.span`; healing has a fall of its own, from the full learning rate."""
    if state.facts.student is None or config.training.annealing == "round":
        return annealing.span(state.facts.version, config)
    done, rounds = state.facts.version - state.facts.begun, config.compression.healing_rounds
    return done / rounds, (done + 1) / rounds


def pruned(state: RunState, settings: NetworkSettings, vector: NDArray[np.float32], config: FederationConfig) -> RunState:
    """The state in which the student is the smaller one: new to everyone, so that it goes down whole, and the optimiser starts anew."""
    if settings == config.student:
        return state
    facts = state.facts.model_dump() | {"student": settings.model_dump(), "begun": state.facts.version}
    return RunState(Facts.model_validate(facts), vector, unpruned=state.vector)


def undone(state: RunState) -> RunState:
    """The state in which the student is the one before pruning again: as new to everyone, and with no more updates than before it."""
    facts = state.facts
    changed = {"student": None, "begun": facts.version, "undone": facts.version - facts.begun}
    return RunState(Facts.model_validate(facts.model_dump() | changed), state.unpruned)


def changes(state: RunState, config: FederationConfig) -> tuple[str, ...]:
    """What the manifest says of it, in plain words."""
    if state.facts.undone is not None:
        healing = f"; {_rounds(state.facts.undone)} of training went with it" if state.facts.undone else ""
        return (f"pruning was undone, for the gate signed no file of the pruned student{healing}",)
    if state.facts.student is None:
        return ()
    healing = _rounds(config.compression.healing_rounds)
    return (f"pruned from {state.unpruned.size:,} to {state.vector.size:,} numbers, healed for {healing}",)


def heals(state: RunState, config: FederationConfig) -> bool:
    """Whether rounds of training follow."""
    return state.facts.student is not None and config.compression.healing_rounds > 0


def _rounds(count: int) -> str:
    return f"{count} round{'' if count == 1 else 's'}"
