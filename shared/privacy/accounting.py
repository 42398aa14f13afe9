"""What a round's noise is worth: concentrated differential privacy of a sum of discrete Gaussians, and its epsilon.

*Unit of privacy.* One institution's whole contribution to one round: neighbours are a round with it and the same round with
zeros in its place (zero-out); its noise is in both. Another contribution instead of it, such as the one with a record more
or less, is two such steps away, which is ``4 rho``. *Composition.* Rounds add their ``rho`` (Bun and Steinke 2016, lemma
1.7), chosen adaptively or not.
*Adversary.* Everyone who sees the sums: the coordinator, and institutions that work with it. Those know their own noise,
so only the noise of ``honest`` institutions counts, the protected one included. Only what carries noise is covered: an
exact counter that rides in the same round is not.

*Theorem* (after Kairouz, Liu, Steinke 2021, theorem 1; the constants are those of the argument below). Let ``n``
institutions each add ``N_Z(0, s²)``, ``s ≥ 1/2``, to ``d`` coordinates, and let a contribution be ``D`` long (L2) at most.
With ``tau = 10 Σ_{k=1}^{n-1} exp(−2 π² s² k / (k + 1))`` the sum is ``rho``-concentrated differentially private
(``D_α ≤ rho α`` for every order ``α > 1``) for each of

    rho = D² / (2 n s²) + tau d             and             rho = (D / (√n s) + tau √d)² / 2 .

*Why.* Completing the square, the law of ``N_Z(0, s²) + N_Z(0, k s²)`` is that of ``N_Z(0, (k + 1) s²)`` times a factor
``θ(x / (k + 1))``, ``θ(c) = 1 + 2 Σ_m q^{m²} cos(2 π m c)``, ``q = exp(−2 π² s² k / (k + 1))``, scaled. As ``s ≥ 1/2``, any
two values of ``θ`` differ by a factor of at most ``exp(5 q)``, and adding more noise keeps such a bound; so the sum is
``N_Z(0, n s²)`` times a factor within ``exp(± tau / 2)``. First form: a shift by ``D`` changes that factor by at most
``exp(tau)`` a coordinate, and what is left of the likelihood ratio is linear in the sum, whose noise is sub-Gaussian with
variance ``n s²`` (Canonne et al. 2020), so ``D_α ≤ α D² / (2 n s²) + tau d``. Second form: the triangle
inequality of concentrated privacy, coordinate by coordinate. More honest noise is post-processing and never costs, so the
best of 1 to ``n`` counts. The modulus of the ring is post-processing too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from shared.errors import ConfigError
from shared.privacy.noise import SMALLEST_SIGMA, sampling_error

_ORDERS = 1 + np.geomspace(0.02, 1e7, 512)
"""Rényi orders that an epsilon is the best of: steps of 4 % in ``α − 1``, which cost less than a thousandth of it."""
_MARGIN = 1e-9
"""Left of a budget, so that a sum of its parts, rounded at every step, stays within it."""


def round_rho(*, sensitivity: float, sigma: float, honest: int, dimension: int) -> float:
    """The ``rho`` of one round: see the theorem above.

    ``sensitivity``: the longest contribution (L2) in steps of the ring, after rounding; ``sigma``: deviation of *one*
    institution's noise in steps, 1/2 at least; ``honest``: how many honest institutions' noise is surely in the sum;
    ``dimension``: coordinates. Raises :class:`ConfigError` for values out of range.
    """
    _check(sensitivity=(sensitivity, 0.0), sigma=(sigma, SMALLEST_SIGMA), honest=(honest, 1), dimension=(dimension, 1))
    counts = np.arange(1, honest + 1)
    steps = np.exp(-2 * (math.pi * sigma) ** 2 * (counts[:-1] / counts[1:]))
    tau = 10 * np.concatenate([[0.0], np.cumsum(steps)])
    ratio = sensitivity / (np.sqrt(counts) * sigma)
    return float(np.minimum(ratio**2 / 2 + tau * dimension, (ratio + tau * math.sqrt(dimension)) ** 2 / 2).min())


def count_rho(*, sensitivity: float, sigma: float, honest: int) -> float:
    """The ``rho`` of one noised count, such as how many updates were within the clip (Andrew et al. 2021, adaptive clipping).

    ``sensitivity``: how much one institution can change the count (1 for one bit each); the rest as in :func:`round_rho`.
    """
    return round_rho(sensitivity=sensitivity, sigma=sigma, honest=honest, dimension=1)


def rounded_norm_bound(norm: float, dimension: int, beta: float) -> float:
    """The length ``(L2)`` in steps that stochastic rounding to whole steps leaves a vector of length ``norm`` in steps.

    ``min(c + √d, √(c² + d/4 + √(2 ln(1/β)) (c + √d/2)))`` (Kairouz et al. 2021, theorem 1): the first always holds, for each
    coordinate moves by less than 1; the second by Hoeffding's inequality, except with probability ``beta``. So an
    institution either draws the rounding again until its result is within the bound, which makes the bound certain
    (conditional rounding), or adds ``beta`` to the round's delta. ``beta = 0`` leaves the first alone.
    """
    _check(norm=(norm, 0.0), dimension=(dimension, 1), beta=(beta, 0.0))
    certain = norm + math.sqrt(dimension)
    if beta == 0.0:
        return certain
    slack = math.sqrt(2 * max(0.0, math.log(1 / beta))) * (norm + math.sqrt(dimension) / 2)
    return min(certain, math.sqrt(norm**2 + dimension / 4 + slack))


def epsilon(rho: float, delta: float) -> float:
    """The least epsilon for which ``rho``-concentrated privacy gives ``(epsilon, delta)``, by ``dp-accounting``'s Rényi accountant.

    Its conversion is proposition 12 of Canonne et al. 2020. ``delta`` is what the mechanism on paper may spend: take
    :func:`sampling_delta` off what was promised first. Raises :class:`ConfigError` for values out of range.
    """
    _check(rho=(rho, 0.0))
    if not 0 < delta < 1:
        raise ConfigError(f"a delta of {delta:g} is not between 0 and 1; choose one far below 1 over the number of institutions")
    return _converted(rho, delta)


def sampling_delta(*, epsilon: float, sigma: float, dimension: int, honest: int, rounds: int) -> float:
    """What the sampler's distance from the law on paper adds to delta over a run.

    ``(1 + e^ε) · honest · dimension · rounds · sampling_error(sigma)``: total variation adds up over independent samples,
    and an event's probability is off by it on both sides of ``P ≤ e^ε Q + δ``. The keystream is taken to be uniform.
    """
    # Beyond 700 an epsilon promises nothing, and its exponential is no number.
    return (1 + math.exp(min(epsilon, 700.0))) * honest * dimension * rounds * sampling_error(sigma)


def rho_for(epsilon: float, delta: float) -> float:
    """The largest ``rho``, less a billionth, that gives ``(epsilon, delta)``: the inverse of :func:`epsilon`."""
    if not (math.isfinite(epsilon) and epsilon > 0 and 0 < delta < 1):
        raise ConfigError(f"({epsilon:g}, {delta:g}) cannot be kept; choose a positive epsilon and a delta between 0 and 1")
    return _bisect(lambda rho: _converted(rho, delta) > epsilon, 0.0, 1.0)[0] * (1 - _MARGIN)


def sigma_for(*, rho: float, sensitivity: float, honest: int, dimension: int) -> float:
    """The least deviation of one institution's noise, in steps, with which :func:`round_rho` is at most ``rho``; 1/2 at least."""
    if not (math.isfinite(rho) and rho > 0):
        raise ConfigError(f"a rho of {rho:g} a round needs noise without bound; choose a positive one")

    def enough(sigma: float) -> bool:
        return round_rho(sensitivity=sensitivity, sigma=sigma, honest=honest, dimension=dimension) <= rho

    return SMALLEST_SIGMA if enough(SMALLEST_SIGMA) else _bisect(enough, SMALLEST_SIGMA, 1.0)[1]


def _converted(rho: float, delta: float) -> float:
    # Here, for it takes a second to import, and who only adds noise does not need it.
    from dp_accounting import NeighboringRelation, ZCDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(_ORDERS, NeighboringRelation.REPLACE_SPECIAL).compose(ZCDpEvent(rho))
    return float(accountant.get_epsilon(delta))


def _bisect(above: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    # Neighbouring numbers, or nearly: the largest found for which ``above`` is not so, the least for which it is.
    while not above(high):
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if above(middle) else (middle, high)
    return low, high


def _check(**values: tuple[float, float]) -> None:
    for name, (value, least) in values.items():
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"privacy cannot be accounted for with a {name} of {value:g}; it must be a number of at least {least:g}")
