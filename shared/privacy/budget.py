"""What a plan promises and what a ledger has spent of it: plain values that both sides store as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.errors import ConfigError
from shared.privacy.accounting import epsilon, rho_for


@dataclass(frozen=True)
class Spent:
    """The ``rho`` of all rounds that an institution has answered: an answered round is spent, whether its sum was opened or not."""

    rho: float = 0.0
    rounds: int = 0

    def after(self, rho: float) -> Spent:
        """What is spent after one more round of ``rho``."""
        if not (math.isfinite(rho) and rho >= 0):
            raise ConfigError(f"a round cannot spend a rho of {rho:g}; it must be a number of at least 0")
        return Spent(self.rho + rho, self.rounds + 1)

    def epsilon(self, delta: float) -> float:
        """The epsilon at ``delta`` of everything spent so far; 0 before the first round."""
        return epsilon(self.rho, delta)


@dataclass(frozen=True)
class Budget:
    """``(epsilon, delta)``: the most that a whole run may tell of one institution's contribution to any round.

    Raises :class:`ConfigError` where ``epsilon`` is not positive or ``delta`` not between 0 and 1.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0 and 0 < self.delta < 1):
            raise ConfigError(f"a budget needs a positive epsilon and a delta between 0 and 1, not {self.epsilon:g} and {self.delta:g}")

    @property
    def rho(self) -> float:
        """All of it as concentrated privacy: ``rounds`` equal rounds may each spend ``rho / rounds``."""
        return rho_for(self.epsilon, self.delta)

    def affords(self, spent: Spent, rho: float) -> bool:
        """Whether one more round of ``rho`` stays within the budget."""
        return spent.after(rho).epsilon(self.delta) <= self.epsilon
