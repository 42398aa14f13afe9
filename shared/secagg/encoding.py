"""From a real update to ring words and back: clip, weigh, scale, round stochastically, with the headroom proven first.

``x = round(scale · (weight / weight_cap) · clip(Δ))`` with ``clip(Δ) = Δ · min(1, clip_norm / ‖Δ‖₂)``. One coordinate of a
clipped update is at most ``clip_norm`` in size, so after rounding ``|x| ≤ scale · clip_norm + 1``; the scale is chosen such
that the whole cohort's sum stays below ``2^(width − 1)``: nothing wraps around, ever. Rounding is unbiased
(``E[x]`` is the exact value), so its errors average out over institutions and rounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.secagg.errors import IllegalPlan, IllegalVector
from shared.secagg.messages import Aggregate, Plan, Words

DTYPES: dict[int, type[np.unsignedinteger]] = {8: np.uint8, 16: np.uint16, 32: np.uint32}
"""Ring widths and the words that hold them."""
MOST_COUNTER = 2**62
"""Counters and weights of a whole cohort must stay below this, so that a 64-bit sum never wraps."""


def threshold_for(cohort_size: int, collusion: int) -> int:
    """The smallest ``t`` with ``2t > m + c``: how many must answer for a round to be unmasked."""
    return (cohort_size + collusion) // 2 + 1


def levels(plan: Plan) -> int:
    """Ring steps that one coordinate of one institution may take in each direction, rounding included."""
    return ((1 << (plan.layout.width - 1)) - 1) // len(plan.cohort)


def prove_headroom(plan: Plan) -> None:
    """Raises :class:`IllegalPlan` unless no sum over the whole cohort can leave the ring."""
    if plan.layout.width not in DTYPES:
        raise IllegalPlan(f"round {plan.round} plans a ring of {plan.layout.width} bits; there are {', '.join(map(str, DTYPES))}")
    if plan.layout.update_words and levels(plan) < 2:
        raise IllegalPlan(f"a ring of {plan.layout.width} bits has no room for a cohort of {len(plan.cohort)}; use a wider ring")
    if not np.isfinite(plan.clip_norm) or plan.clip_norm <= 0:
        raise IllegalPlan(f"round {plan.round} plans a clip norm of {plan.clip_norm}; it must be a positive number")
    if plan.weight_cap < 1 or plan.weight_cap * len(plan.cohort) >= MOST_COUNTER:
        raise IllegalPlan(f"round {plan.round} plans a largest weight of {plan.weight_cap}; a cohort's sum of weights must stay below 2^62")


def quantise(update: NDArray[np.float32], weight: int, plan: Plan, rng: np.random.Generator) -> Words:
    """The update ``(update_words,)`` of an institution with ``weight`` as ring words, modulo 2^width.

    Raises :class:`IllegalVector` for a wrong size, a NaN or infinity, or a weight outside 1 … ``weight_cap``.
    """
    check_update(update, weight, plan)
    dtype = DTYPES[plan.layout.width]
    if not update.size:
        return np.zeros(0, dtype)
    exact = update.astype(np.float64)
    # A norm of zero leaves the update as it is.
    factor = min(1.0, plan.clip_norm / max(float(np.linalg.norm(exact)), plan.clip_norm))
    exact *= factor * _scale(plan) * (weight / plan.weight_cap)
    rounded = np.floor(exact + rng.random(exact.size))
    return rounded.astype(np.int64).astype(dtype)


def check_update(update: NDArray[np.float32], weight: int, plan: Plan) -> None:
    """Raises :class:`IllegalVector` for what :func:`quantise` cannot encode."""
    if update.shape != (plan.layout.update_words,):
        raise IllegalVector(f"round {plan.round} plans {plan.layout.update_words} update words, the update has shape {update.shape}")
    if not np.isfinite(update).all():
        raise IllegalVector(f"the update of round {plan.round} holds a NaN or an infinity; training has diverged, lower the learning rate")
    if not 1 <= weight <= plan.weight_cap:
        raise IllegalVector(f"a weight of {weight} is outside 1 to {plan.weight_cap} in round {plan.round}")


def centred(words: Words) -> NDArray[np.int64]:
    """Ring words as the integers of least size that they stand for, ``int64``."""
    signed = words.view(np.dtype(f"i{words.itemsize}"))
    return signed.astype(np.int64)


def mean_update(aggregate: Aggregate, plan: Plan) -> NDArray[np.float64]:
    """The weighted mean of the clipped updates: decoded sum divided by the sum of ``weight / weight_cap``."""
    share: float = aggregate.weight / plan.weight_cap
    mean: NDArray[np.float64] = aggregate.update.astype(np.float64) / (_scale(plan) * share)
    return mean


def _scale(plan: Plan) -> float:
    # One step is kept for rounding up.
    return float(levels(plan) - 1) / plan.clip_norm
