"""The run's privacy: what is promised before it begins, the noise of each round, and when the budget is spent.

Only what carries noise is covered: the student's updates and the clip count. Statistics, evaluation, calibration and
gate are exact sums (``docs/security.md``); whoever wants none of them to leave says so in its policy (``policy.metrics``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from server.records import RoundRecord
from shared.config import PrivacySettings
from shared.errors import ConfigError
from shared.privacy.accounting import epsilon, rho_for, sampling_delta, sigma_for
from shared.privacy.rounds import MECHANISM, least_honest, round_allowance, round_cost
from shared.secagg.encoding import level_of, rounded_norm
from shared.secagg.messages import Plan

COUNT_SHARE = 0.05
"""The part of a round's rho that its clip count may spend."""
_SLACK = 1 + 1e-12


@dataclass(frozen=True)
class PrivacyPlanner:
    """Spends a budget evenly over ``rounds`` training rounds; void rounds count, for their masked answers may be held back."""

    settings: PrivacySettings
    rounds: int

    @cached_property
    def rho(self) -> float:
        """All of the budget as concentrated privacy."""
        return rho_for(self.settings.epsilon, self.settings.delta * MECHANISM)

    @property
    def allowance(self) -> float:
        """What one training round may cost."""
        return round_allowance(self.settings.epsilon, self.settings.delta, self.rounds)

    def exhausted(self, records: Sequence[RoundRecord]) -> bool:
        """Whether another training round would go beyond the budget."""
        return sum(record.rho for record in records) + self.allowance > self.rho * _SLACK

    def spent(self, records: Sequence[RoundRecord]) -> float:
        """The epsilon that the rounds so far have spent at the settings' delta; 0 before the first."""
        return epsilon(sum(record.rho for record in records), self.settings.delta * MECHANISM)

    def noised(self, plan: Plan) -> Plan:
        """The plan with the least noise whose cost is within the allowance.

        Noise takes headroom, so that steps become coarser and an update shorter in steps; the least noise that suffices for
        the steps it leaves is found by bisection. Raises :class:`ConfigError` where the sampler is too coarse for delta;
        a ring without room for the noise is found by ``prove_headroom``.
        """
        honest = least_honest(plan, plan.collusion, plan.smallest_cohort)
        count = sigma_for(rho=self.allowance * COUNT_SHARE, sensitivity=1.0, honest=honest, dimension=1)
        made = replace(plan, count_noise=count, noise=self._least_noise(plan, honest))
        self._check_sampler(made, honest)
        return made

    def cost(self, plan: Plan) -> float:
        """The rho of a plan with noise."""
        return round_cost(plan, plan.collusion, plan.smallest_cohort)

    def _least_noise(self, plan: Plan, honest: int) -> float:
        rho, size = self.allowance * (1 - COUNT_SHARE), plan.layout.update_words

        def needed(noise: float) -> float:
            norm = rounded_norm(replace(plan, noise=noise))
            return sigma_for(rho=rho, sensitivity=norm, honest=honest, dimension=size)

        def enough(noise: float) -> bool:
            return level_of(replace(plan, noise=noise)) < 1 or noise >= needed(noise)

        low, high = 0.0, needed(0.0)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high

    def _check_sampler(self, plan: Plan, honest: int) -> None:
        extra = sampling_delta(
            epsilon=self.settings.epsilon, sigma=plan.noise, dimension=plan.layout.update_words, honest=honest, rounds=self.rounds
        )
        if extra > self.settings.delta * (1 - MECHANISM):
            raise ConfigError(
                f"privacy.delta {self.settings.delta:g} is finer than noise can be drawn for {plan.layout.update_words} parameters in "
                f"{self.rounds} rounds; choose at least {extra / (1 - MECHANISM):.1g}"
            )
