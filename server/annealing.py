"""How the learning rate of a run falls: once over all its rounds, or anew in each."""

from __future__ import annotations

from shared.config import FederationConfig


def span(version: int, config: FederationConfig) -> tuple[float, float]:
    """The part of the run's falling rate that the round after ``version`` updates does; all of it where each round has its own.

    The rounds of a run together go down the very curve of one fit of as many epochs (McMahan-style averaging does not converge under
    a constant rate: Li et al. 2020, "On the convergence of FedAvg on non-IID data", theorem 1 and section 3.3).
    """
    if config.training.annealing == "round":
        return 0.0, 1.0
    return version / config.rounds, (version + 1) / config.rounds
