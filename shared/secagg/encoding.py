"""From an update to ring words and back, and the proof that a cohort's sum cannot overflow.

An update ``x`` is clipped as a whole to ``‖x‖₂ ≤ clip_norm``, multiplied by ``weight / weight_cap ≤ 1``, rotated where the
plan says so (``rotation.py``), scaled so that :func:`coordinate_range` is ``level`` steps, cut to it, and rounded at random
to one of its two neighbours, with the probability that makes the expectation exact. With
``level = (2^(width−1) − 1 − tail) // m`` no sum of ``m`` words leaves the ring's signed range; ``tail`` is what the noise of
differential privacy may add to it (:func:`noise_tail`), 0 where there is none.

Without a rotation nothing is ever cut, and each coordinate of the mean is off by less than one step,
``clip_norm / level``, times ``weight_cap`` over the mean weight. With one, steps are about ``√d / 4`` times finer, which is
what makes 8 bits enough, and what little is cut stays, like all rounding, in the institution's error feedback: the
difference between the clipped update and :func:`represented`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.secagg import fragments
from shared.secagg.errors import IllegalPlan, IllegalVector
from shared.secagg.fragments import Cell, cells
from shared.secagg.keys import KEY_BYTES
from shared.secagg.messages import Aggregate, Plan, Words
from shared.secagg.rotation import rotate, rotate_back, rotation_seed
from shared.secagg.rounding import round_to_words

DTYPES: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16, 32: np.uint32}
"""Ring widths in bits with the type of their words."""
LARGEST_COUNTER_SUM = 2**63 - 1
"""A sum of counters never reaches the sign bit, so that it can be read as ``int64`` too."""
MOST_WORDS = 2**31
"""Most words of an update or of the counters that a plan may ask for."""
SMALLEST_CLIP_NORM = 1e-20
"""Least clip norm: far below it a step would be no number."""
OVERFLOW_ODDS = 2.0**-40
"""Bound on the probability that the noise of differential privacy carries any coordinate of a sum out of the ring."""
NOISED_LEVEL = 32
"""The most steps of a coordinate range after a rotation where noise is added."""
_CHUNK = 1 << 15
_MOST_ROUNDINGS = 64
"""Tries at a rounding whose norm is within its bound; each succeeds with a probability of 1 − e^(−1/2)."""


def threshold_for(cohort_size: int, collusion: int) -> int:
    """The smallest ``t`` with ``2t > m + c``: how many must sign, and on the complete graph how many shares give a seed."""
    return (cohort_size + collusion) // 2 + 1


def control_words(plan: Plan) -> int:
    """Words before the counters: a 1, whose sum counts the survivors, the sample weight, and with fragments that in each cell."""
    return 2 + (len(cells(plan)) if plan.fragments else 0)


def level_of(plan: Plan) -> int:
    """Steps between 0 and the coordinate range: the largest magnitude of one institution's word. Needs a proven plan."""
    room = _level(plan.layout.width, len(plan.cohort), noise_tail(plan))
    return min(room, _noised_level(plan)) if plan.noise else room


def noise_tail(plan: Plan) -> int:
    """What the noise of the whole cohort adds to any coordinate at most, in steps, but for :data:`OVERFLOW_ODDS`.

    A discrete Gaussian is sub-Gaussian with its own deviation, so ``P(|sum| > τ σ √m) ≤ 2 exp(−τ²/2)`` a coordinate.
    """
    if not plan.noise:
        return 0
    tau = math.sqrt(2.0 * math.log(2.0 * max(1, plan.layout.update_words) / OVERFLOW_ODDS))
    return math.ceil(tau * plan.noise * math.sqrt(len(plan.cohort)))


def count_offset(plan: Plan) -> int:
    """What each institution adds to its noised clip count so that it is not negative: more than the noise ever reaches.

    Ten deviations: a discrete Gaussian is beyond with a probability below 2^-70.
    """
    return math.ceil(10.0 * plan.count_noise)


def coordinate_range(plan: Plan) -> float:
    """The largest magnitude of one coordinate that is not cut.

    The clip norm itself; after a rotation, where coordinates are about ``clip_norm / √d``, a multiple of that: the more
    steps there are, the more of the rare large ones are worth their place. Few steps are better spent on the many: an
    institution of mean weight fills half the range, and what is cut of a heavier one is left over, not lost.
    """
    if not plan.rotation or not plan.layout.update_words:
        return plan.clip_norm
    spread = 1.0 + 0.3 * math.log2(level_of(plan) + 1)
    return min(plan.clip_norm, spread * plan.clip_norm / math.sqrt(plan.layout.update_words))


def steps_per_unit(plan: Plan) -> float:
    """How many steps 1.0 of an update of full weight is."""
    return level_of(plan) / coordinate_range(plan)


def rounded_norm(plan: Plan) -> float:
    """The largest L2 norm of one institution's words, in steps, where noise is added: the sensitivity of the sum.

    Rounding at random lengthens a vector by little; a rounding beyond this is drawn again (Kairouz, Liu, Steinke 2021,
    proposition on conditional randomised rounding, with β = e^(−1/2)).
    """
    size, norm = plan.layout.update_words, plan.clip_norm * steps_per_unit(plan)
    likely = norm**2 + size / 4 + norm + math.sqrt(size) / 2
    return min(norm + math.sqrt(size), math.sqrt(likely))


def largest_counter(plan: Plan) -> int:
    """The largest counter that one institution may report."""
    return LARGEST_COUNTER_SUM // len(plan.cohort)


def prove_headroom(plan: Plan) -> None:
    """Raises :class:`IllegalPlan` if the sum over the whole cohort could leave the ring, or the layout is none."""
    for complaint in _complaints(plan):
        raise IllegalPlan(f"round {plan.round} cannot be encoded: {complaint}")


def clip_factor(update: NDArray[np.float32], plan: Plan) -> float:
    """What ``update (d,)`` is multiplied by so that its norm is at most the clip norm; 1 where it is already.

    Raises :class:`IllegalVector` for NaN, infinity or another size.
    """
    size = plan.layout.update_words
    if update.shape != (size,):
        raise IllegalVector(f"an update of shape {update.shape} does not go into round {plan.round}, which has {size} words")
    norm = _norm(update)
    if not math.isfinite(norm):
        raise IllegalVector(f"the update for round {plan.round} holds a NaN or an infinity; the training has diverged")
    return min(1.0, plan.clip_norm / norm if norm else 1.0)


def quantise(update: NDArray[np.float32], weight: int, plan: Plan, rng: np.random.Generator, *, institution: str = "") -> Words:
    """The ring words ``(d,)`` of ``update: float32 (d,)``, clipped, of an institution with sample ``weight`` (1 to ``weight_cap``).

    The same generator state gives the same words. ``institution`` matters with fragments: words outside its own are 0.
    Raises :class:`IllegalVector` for NaN, infinity, another size, or a weight out of range.
    """
    return _words(update, clip_factor(update, plan), weight, plan, rng, institution)


def quantise_unclipped(update: NDArray[np.float32], weight: int, plan: Plan, rng: np.random.Generator, *, institution: str = "") -> Words:
    """As :func:`quantise`, for an update that was clipped before something of earlier rounds was added to it.

    Each word is cut to ``±level`` all the same, so the proof of headroom holds for it too.
    """
    clip_factor(update, plan)
    return _words(update, 1.0, weight, plan, rng, institution)


def represented(words: Words, weight: int, plan: Plan) -> NDArray[np.float32]:
    """What one institution's own words stand for: an update ``float32 (d,)`` as if of full weight."""
    values = centred(words).astype(np.float32)
    _turned_back(values, plan)
    values *= np.float32(plan.weight_cap / (weight * steps_per_unit(plan)))
    return values


def centred(words: Words) -> NDArray[np.signedinteger[Any]]:
    """Ring words as signed integers of the same width: the same memory, read in another way."""
    signed: NDArray[np.signedinteger[Any]] = words.view(np.dtype(f"i{words.dtype.itemsize}"))
    return signed


def mean_update(aggregate: Aggregate, plan: Plan) -> NDArray[np.float64]:
    """The survivors' mean update ``float64 (d,)``, weighted by their sample weights, each coordinate over those who trained it.

    Coordinates that too few trained are 0.
    """
    # Sums in a narrow ring are whole numbers that float32 holds exactly, and it turns them back in half the time.
    mean: NDArray[np.floating[Any]] = aggregate.update.astype(np.float32 if plan.layout.width < 32 else np.float64)
    _turned_back(mean, plan)
    unit = plan.weight_cap / steps_per_unit(plan)
    weights = aggregate.cell_weights or (aggregate.weight,)
    too_thin = {cell.ranges for cell in fragments.thin(plan, aggregate.survivors)} if plan.fragments else set()
    for cell, weight in zip(cells(plan), weights, strict=True):
        trained = weight and not cell.silent and cell.ranges not in too_thin
        for start, stop in cell.ranges:
            mean[start:stop] *= unit / weight if trained else 0.0
    return mean.astype(np.float64, copy=False)


def _words(update: NDArray[np.float32], clip: float, weight: int, plan: Plan, rng: np.random.Generator, institution: str) -> Words:
    if not 1 <= weight <= plan.weight_cap:
        raise IllegalVector(f"a sample weight of {weight} is not between 1 and the cap {plan.weight_cap} of round {plan.round}")
    factor = clip * (weight / plan.weight_cap) * steps_per_unit(plan)
    words = np.zeros(plan.layout.update_words, DTYPES[plan.layout.width])
    for number, cell in enumerate(cells(plan)):
        if not plan.fragments or cell.trained_by(institution):
            cell.put(words, _round(_prepared(update, cell, number, plan), factor, plan, rng))
    return words


def _prepared(update: NDArray[np.float32], cell: Cell, number: int, plan: Plan) -> NDArray[np.float32]:
    values = cell.take(update)
    if plan.rotation:
        values = np.array(values)
        rotate(values, rotation_seed(plan, number))
    return values


def _turned_back(vector: NDArray[Any], plan: Plan) -> None:
    if plan.rotation:
        for number, cell in enumerate(cells(plan)):
            values = cell.take(vector)
            rotate_back(values, rotation_seed(plan, number))
            cell.put(vector, values)


def _round(values: NDArray[np.float32], factor: float, plan: Plan, rng: np.random.Generator) -> Words:
    level, dtype = level_of(plan), DTYPES[plan.layout.width]
    for _ in range(_MOST_ROUNDINGS):
        words = round_to_words(values, factor, level, dtype, rng.bytes(KEY_BYTES))
        if not plan.noise or _norm(centred(words)) <= rounded_norm(plan):
            return words
    raise IllegalVector(f"no rounding of the update for round {plan.round} stays within its norm; the plan's ring is too coarse")


def _noised_level(plan: Plan) -> int:
    # Under noise finer steps only need more of it. With these a norm is about 8 √d steps, so that rounding lengthens an update
    # by less than a hundredth.
    return NOISED_LEVEL if plan.rotation else math.ceil(8.0 * math.sqrt(plan.layout.update_words))


def _level(width: int, members: int, tail: int) -> int:
    return ((1 << (width - 1)) - 1 - tail) // members


def _norm(update: NDArray[Any]) -> float:
    # Squares of float32 cannot overflow float64: the norm is finite exactly if every coordinate is. Pieces in order and
    # no BLAS: the same bits whatever the number of threads. One buffer for all pieces: making one a piece takes longer than the sum.
    buffer, sums = np.empty(min(_CHUNK, update.size), np.float64), []
    for start in range(0, update.size, _CHUNK):
        piece = update[start : start + _CHUNK]
        squares = buffer[: piece.size]
        np.copyto(squares, piece)
        sums.append(float(np.square(squares, out=squares).sum()))
    return math.sqrt(math.fsum(sums))


def _complaints(plan: Plan) -> list[str]:
    layout, members = plan.layout, max(1, len(plan.cohort))
    found = _shape_complaints(plan)
    if found:
        return found
    if _level(layout.width, members, noise_tail(plan)) < 1:
        noise = f" and a noise of {plan.noise:g} steps each" if plan.noise else ""
        found.append(f"{layout.width} bits have no headroom for {members} institutions{noise}; take a wider ring")
    if not 1 <= plan.weight_cap <= LARGEST_COUNTER_SUM // members:
        found.append(f"a weight cap of {plan.weight_cap} leaves no headroom for the sum of {members} weights")
    if plan.noise and plan.fragments:
        found.append("noise is accounted for whole updates only; leave out either the fragments or the noise")
    return found + fragments.complaints(plan)


def _shape_complaints(plan: Plan) -> list[str]:
    layout, found = plan.layout, []
    if layout.width not in DTYPES:
        found.append(f"a ring of {layout.width} bits is none of {', '.join(map(str, DTYPES))}")
    if not (0 <= layout.update_words <= MOST_WORDS and 0 <= layout.counters <= MOST_WORDS):
        found.append(f"{layout.update_words} update words and {layout.counters} counters are not within 0 and {MOST_WORDS}")
    if not (math.isfinite(plan.clip_norm) and plan.clip_norm >= SMALLEST_CLIP_NORM):
        found.append(f"a clip norm of {plan.clip_norm:g} is not a positive number")
    for what, deviation in (("noise", plan.noise), ("noise in the clip count", plan.count_noise)):
        if not 0 <= deviation <= MOST_WORDS:
            found.append(f"a {what} of {deviation:g} steps is not between 0 and {MOST_WORDS}")
    return found
