"""t-of-m secret sharing (Shamir, *How to share a secret*, 1979), byte by byte over GF(2^8).

Any ``t`` shares give the secret, ``t − 1`` are independent of it: for each secret there is exactly one polynomial of
degree below ``t`` through them. Many secrets are shared in one matrix product. Holder ``i`` (counted from 0) has the
place ``i + 1``; the secret lies at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from shared.secagg.field import Bytes, combine, lagrange, powers

MOST_HOLDERS = 255
"""There are no more places than non-zero field elements."""


def deal(secrets: Bytes, threshold: int, holders: int, random: Callable[[int], bytes]) -> Bytes:
    """Shares ``uint8 (holders, k, n)`` of ``secrets (k, n)``; ``random(n)`` gives n uniform bytes.

    Raises :class:`ValueError` unless ``1 <= threshold <= holders <= 255``.
    """
    if not 1 <= threshold <= holders <= MOST_HOLDERS:
        raise ValueError(f"cannot share with a threshold of {threshold} among {holders} holders")
    drawn = random((threshold - 1) * secrets.size)
    higher = np.frombuffer(drawn, np.uint8).reshape(threshold - 1, *secrets.shape)
    return combine(powers(range(1, holders + 1), threshold), np.concatenate([secrets[None], higher]))


def reconstruct(holders: Sequence[int], shares: Bytes) -> Bytes:
    """The secrets ``(k, n)`` from exactly threshold ``shares (t, k, n)`` of distinct ``holders``."""
    secrets: Bytes = combine(lagrange([holder + 1 for holder in holders], [0]), shares)[0]
    return secrets


def predict(holders: Sequence[int], shares: Bytes, others: Sequence[int]) -> Bytes:
    """The shares ``(others, k, n)`` that ``others`` must have if those of ``holders`` are right."""
    return combine(lagrange([holder + 1 for holder in holders], [other + 1 for other in others]), shares)
