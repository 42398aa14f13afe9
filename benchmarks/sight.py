"""What others see of institutions' updates: one in the clear, one under masks, their sum, and their sum with noise.

Encoding, masks and noise are the product's. The sums are made of whole numbers without the ring: masks cancel in it
exactly (``tests/shared/secagg`` shows it), and where it would wrap around, it hides more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.data.seeds import generator
from shared.privacy.accounting import rho_for, rounded_norm_bound, sigma_for
from shared.privacy.noise import discrete_gaussian
from shared.secagg import masks
from shared.secagg.encoding import centred, level_of, prove_headroom, quantise, threshold_for
from shared.secagg.messages import Layout, Plan, Words

COLLUSION = 1
DELTA = 1e-5

Vector = NDArray[np.float64]


def sight(updates: Sequence[NDArray[np.float32]], epsilons: Sequence[float], seed: int) -> Mapping[str, Sequence[Vector]]:
    """``plain`` and ``masked``: each institution's update as it is and as it is sent; ``sum`` and ``noised.EPSILON``: one mean update.

    Every vector is ``float64 (d,)`` in the units of ``updates``. The clip is the longest of them: nothing is cut off, which
    helps an attacker. The noise gives one institution ``(epsilon, 1e-5)`` for this one round against the coordinator and one
    colluding institution.
    """
    clip = max(float(np.linalg.norm(update)) for update in updates)
    plan = _plan(updates[0].size, len(updates), clip)
    step = clip / level_of(plan)
    words = [quantise(update, 1, plan, generator(seed, "rounding", place)) for place, update in enumerate(updates)]
    total: NDArray[np.int64] = np.sum([centred(one) for one in words], axis=0)
    found: dict[str, Sequence[Vector]] = {
        "plain": [update.astype(np.float64) for update in updates],
        "masked": [_units(centred(one), step) for one in _masked(words, plan, seed)],
        "sum": [_units(total, step / len(updates))],
    }
    for epsilon in epsilons:
        noise = _noise(plan, epsilon, generator(seed, "noise", str(epsilon)))
        found[f"noised.{epsilon:g}"] = [_units(total + noise, step / len(updates))]
    return found


def _units(words: NDArray[np.int64], step: float) -> Vector:
    vector: Vector = words.astype(np.float64) * step
    return vector


@lru_cache
def _rho(epsilon: float) -> float:
    return rho_for(epsilon, DELTA)


def _plan(size: int, institutions: int, clip: float) -> Plan:
    cohort = tuple(f"site-{place + 1}" for place in range(institutions))
    plan = Plan(
        run="attack",
        epoch=1,
        round=1,
        roster_digest=bytes(32),
        keys_digest=bytes(32),
        cohort=cohort,
        threshold=threshold_for(institutions, COLLUSION),
        share_threshold=threshold_for(institutions, COLLUSION),
        collusion=COLLUSION,
        layout=Layout(update_words=size, counters=0),
        clip_norm=clip,
        weight_cap=1,
        body=b"",
        blob_digest=bytes(32),
    )
    prove_headroom(plan)
    return plan


def _masked(words: Sequence[Words], plan: Plan, seed: int) -> list[Words]:
    """Copies with the masks of a round: a self-mask each, and one for each pair."""
    sent = []
    for own, one in zip(plan.cohort, words, strict=True):
        pairs = [(peer, generator(seed, "pair", *sorted((own, peer))).bytes(32)) for peer in plan.cohort if peer != own]
        applied = [masks.Mask(generator(seed, "self", own).bytes(32), added=True)]
        applied += [masks.pair_mask(own, peer, secret) for peer, secret in pairs]
        sent.append(one.copy())
        masks.apply(sent[-1], np.zeros(0, np.uint64), applied)
    return sent


def _noise(plan: Plan, epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
    size, institutions = plan.layout.update_words, len(plan.cohort)
    longest = rounded_norm_bound(level_of(plan), size, 0.0)
    sigma = sigma_for(rho=_rho(epsilon), sensitivity=longest, honest=institutions - COLLUSION, dimension=size)
    total: NDArray[np.int64] = np.sum([discrete_gaussian(sigma, size, rng.bytes) for _ in range(institutions)], axis=0)
    return total
