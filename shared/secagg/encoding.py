"""From an update to ring words and back, and the proof that a cohort's sum cannot overflow.

An update ``x`` is clipped as a whole to ``‖x‖₂ ≤ clip_norm``, multiplied by ``weight / weight_cap ≤ 1``, scaled so that
``clip_norm`` is ``level`` steps, and rounded at random to one of its two neighbours, with the probability that makes
the expectation exact. With ``level = (2^(width−1) − 1) // m`` no sum of ``m`` words leaves the ring's signed range.
Each coordinate of the mean is off by less than one step, ``clip_norm / level``, times ``weight_cap`` over the mean weight.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.secagg.errors import IllegalPlan, IllegalVector
from shared.secagg.messages import Aggregate, Plan, Words

DTYPES: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16, 32: np.uint32}
"""Ring widths in bits with the type of their words."""
LARGEST_COUNTER_SUM = 2**63 - 1
"""A sum of counters never reaches the sign bit, so that it can be read as ``int64`` too."""
CONTROL_WORDS = 2
"""Words before the counters: a 1, whose sum counts the survivors, and the sample weight."""
MOST_WORDS = 2**31
"""Most words of an update or of the counters that a plan may ask for."""
_CHUNK = 1 << 16


def threshold_for(cohort_size: int, collusion: int) -> int:
    """The smallest ``t`` with ``2t > m + c``: how many must answer, and how many shares give a seed."""
    return (cohort_size + collusion) // 2 + 1


def level_of(plan: Plan) -> int:
    """Steps between 0 and ``clip_norm``: the largest magnitude of one institution's word. Needs a proven plan."""
    return _level(plan.layout.width, len(plan.cohort))


def largest_counter(plan: Plan) -> int:
    """The largest counter that one institution may report."""
    return LARGEST_COUNTER_SUM // len(plan.cohort)


def prove_headroom(plan: Plan) -> None:
    """Raises :class:`IllegalPlan` if the sum over the whole cohort could leave the ring, or the layout is none."""
    for complaint in _complaints(plan):
        raise IllegalPlan(f"round {plan.round} cannot be encoded: {complaint}")


def quantise(update: NDArray[np.float32], weight: int, plan: Plan, rng: np.random.Generator) -> Words:
    """The ring words ``(d,)`` of ``update: float32 (d,)`` of an institution with sample ``weight`` (1 to ``weight_cap``).

    The same generator state gives the same words. Raises :class:`IllegalVector` for NaN, infinity, another size, or a
    weight out of range. The norm is that of the whole vector, so ``d`` zeros stay zeros whatever the clip.
    """
    size = plan.layout.update_words
    if update.shape != (size,):
        raise IllegalVector(f"an update of shape {update.shape} does not go into round {plan.round}, which has {size} words")
    if not 1 <= weight <= plan.weight_cap:
        raise IllegalVector(f"a sample weight of {weight} is not between 1 and the cap {plan.weight_cap} of round {plan.round}")
    norm = _norm(update)
    if not math.isfinite(norm):
        raise IllegalVector(f"the update for round {plan.round} holds a NaN or an infinity; the training has diverged")
    level = level_of(plan)
    factor = min(1.0, plan.clip_norm / norm if norm else 1.0) * (weight / plan.weight_cap) * (level / plan.clip_norm)
    dtype = DTYPES[plan.layout.width]
    words = np.empty(size, dtype)
    for start in range(0, size, _CHUNK):
        exact = update[start : start + _CHUNK].astype(np.float64) * factor
        rounded = np.floor(exact + rng.random(exact.size, np.float64))
        # Rounding errors of the factor itself could reach level + 1; the headroom may not depend on them.
        words[start : start + exact.size] = np.clip(rounded, -level, level).astype(np.int64).astype(dtype)
    return words


def centred(words: Words) -> NDArray[np.int64]:
    """Ring words as signed integers."""
    return words.view(np.dtype(f"i{words.dtype.itemsize}")).astype(np.int64)


def mean_update(aggregate: Aggregate, plan: Plan) -> NDArray[np.float64]:
    """The survivors' mean update ``float64 (d,)``, weighted by their sample weights."""
    step = plan.clip_norm / level_of(plan)
    mean: NDArray[np.float64] = aggregate.update.astype(np.float64) * (step * plan.weight_cap / aggregate.weight)
    return mean


def _level(width: int, members: int) -> int:
    return ((1 << (width - 1)) - 1) // members


def _norm(update: NDArray[np.float32]) -> float:
    # Squares of float32 cannot overflow float64: the norm is finite exactly if every coordinate is. Pieces in order and
    # no BLAS: the same bits whatever the number of threads.
    pieces = (update[start : start + _CHUNK].astype(np.float64) for start in range(0, update.size, _CHUNK))
    return math.sqrt(math.fsum(float(np.square(piece).sum()) for piece in pieces))


def _complaints(plan: Plan) -> list[str]:
    layout, members = plan.layout, max(1, len(plan.cohort))
    found = []
    if layout.width not in DTYPES:
        found.append(f"a ring of {layout.width} bits is none of {', '.join(map(str, DTYPES))}")
    elif _level(layout.width, members) < 1:
        found.append(f"{layout.width} bits have no headroom for {members} institutions; take a wider ring")
    if not (0 <= layout.update_words <= MOST_WORDS and 0 <= layout.counters <= MOST_WORDS):
        found.append(f"{layout.update_words} update words and {layout.counters} counters are not within 0 and {MOST_WORDS}")
    if not (math.isfinite(plan.clip_norm) and plan.clip_norm > 0):
        found.append(f"a clip norm of {plan.clip_norm:g} is not a positive number")
    if not 1 <= plan.weight_cap <= LARGEST_COUNTER_SUM // members:
        found.append(f"a weight cap of {plan.weight_cap} leaves no headroom for the sum of {members} weights")
    return found
