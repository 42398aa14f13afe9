"""What a planned round costs of an institution's privacy: the same figure at both ends, from the plan alone."""

from __future__ import annotations

from shared.privacy.accounting import count_rho, rho_for, round_rho
from shared.secagg.encoding import rounded_norm
from shared.secagg.messages import Plan

MECHANISM = 0.999
"""The part of delta for the mechanism on paper; the rest is for the sampler's distance from it."""


def round_allowance(epsilon: float, delta: float, rounds: int) -> float:
    """The ``rho`` that each of a run's ``rounds`` with noise may cost, so that all of them keep ``(epsilon, delta)``."""
    return rho_for(epsilon, delta * MECHANISM) / rounds


def least_honest(plan: Plan, collusion: int, smallest_cohort: int) -> int:
    """How many honest institutions' noise is in the smallest sum that is ever opened: its size less ``collusion``."""
    return max(1, max(plan.threshold, smallest_cohort) - collusion)


def round_cost(plan: Plan, collusion: int, smallest_cohort: int) -> float:
    """The ``rho`` of a round with noise: of its sum of updates and of its clip count, whoever survives.

    An institution asks with its own ``collusion`` and ``smallest_cohort``, which a plan may exceed and never undercut.
    Raises :class:`~shared.errors.ConfigError` for a plan whose noise is too small to be accounted for.
    """
    honest = least_honest(plan, collusion, smallest_cohort)
    update = round_rho(sensitivity=rounded_norm(plan), sigma=plan.noise, honest=honest, dimension=plan.layout.update_words)
    return update + count_rho(sensitivity=1.0, sigma=plan.count_noise, honest=honest)
