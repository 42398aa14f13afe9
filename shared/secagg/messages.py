"""The typed messages of the protocol. Each has one canonical encoding (``signing.py``), which is what is signed.

Institutions are named by their roster name everywhere; mappings are iterated in sorted order of names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.unsignedinteger[Any]]
"""Ring words: ``uint8``, ``uint16`` or ``uint32`` for the update, ``uint64`` for the counters."""


@dataclass(frozen=True)
class Layout:
    """Shape of a masked vector: ``update_words`` words of ``width`` bits, then 2 control and ``counters`` 64-bit words.

    The control words are a 1 (their sum counts the survivors) and the sample weight.
    """

    update_words: int
    counters: int
    width: int = 16


@dataclass(frozen=True)
class Plan:
    """What one round is. Its digest is bound into every signature, key derivation and seal of the round.

    ``cohort`` is sorted and unique; ``2 * threshold > len(cohort) + collusion``; ``weight_cap`` is the largest
    sample weight an institution may claim; ``body`` is the application's part (``shared/work.py``), opaque here;
    ``blob_digest`` is the SHA-256 of the blob that comes with the Train message (the model).
    """

    run: str
    epoch: int
    round: int
    roster_digest: bytes
    cohort: tuple[str, ...]
    threshold: int
    collusion: int
    layout: Layout
    clip_norm: float
    weight_cap: int
    body: bytes
    blob_digest: bytes


@dataclass(frozen=True)
class OpenRequest:
    """Opens an epoch of a run for the members of a roster."""

    run: str
    epoch: int
    roster_digest: bytes


@dataclass(frozen=True)
class EpochKey:
    """An institution's fresh X25519 public key of one epoch, signed with its Ed25519 identity."""

    institution: str
    run: str
    epoch: int
    roster_digest: bytes
    public_key: bytes
    signature: bytes


@dataclass(frozen=True)
class TrainRequest:
    """Asks for a round; ``keys`` are all signed keys of the epoch, needed with its first round. The model is the blob."""

    plan: Plan
    keys: tuple[EpochKey, ...] = ()


@dataclass(frozen=True)
class Masked:
    """The answer to Train. ``update`` and ``counters`` are masked; ``shares[v]`` is sealed to ``v``.

    ``commitments[""]`` commits to the self-mask seed, ``commitments[v]`` to the pair seed with ``v``.
    ``agreement`` signs "the whole cohort survived" for the round's context; ``signature`` covers everything.
    """

    institution: str
    context: bytes
    update: Words
    counters: Words
    shares: Mapping[str, bytes]
    commitments: Mapping[str, bytes]
    agreement: bytes
    signature: bytes


@dataclass(frozen=True)
class AgreeRequest:
    """Someone of the cohort did not answer: sign this surviving set, once a round."""

    plan: Plan
    survivors: tuple[str, ...]


@dataclass(frozen=True)
class Agreement:
    """An institution's signature over (context, surviving set)."""

    institution: str
    context: bytes
    survivors: tuple[str, ...]
    signature: bytes


@dataclass(frozen=True)
class UnmaskRequest:
    """The surviving set, the signatures over it by institution, and the sealed shares by sender for this receiver."""

    plan: Plan
    survivors: tuple[str, ...]
    agreements: Mapping[str, bytes]
    shares: Mapping[str, bytes]


@dataclass(frozen=True)
class Shares:
    """The answer to Unmask: per survivor its share of that survivor's self-mask seed, and per (survivor, lost) pair
    its share of that pair's seed. Never both for one institution."""

    institution: str
    context: bytes
    self_shares: Mapping[str, bytes]
    pair_shares: Mapping[tuple[str, str], bytes]
    signature: bytes


@dataclass(frozen=True)
class Aggregate:
    """What the coordinator learns: sums over the surviving cohort.

    ``update`` is the centred integer sum ``int64 (update_words,)``; ``counters`` are ``uint64 (counters,)``;
    ``blamed`` names institutions whose shares or commitments were wrong, for certain; ``doubted`` are pairs of which one was
    at fault and nobody can tell which. What was wrong was left out.
    """

    survivors: tuple[str, ...]
    weight: int
    update: NDArray[np.int64]
    counters: NDArray[np.uint64]
    blamed: tuple[str, ...] = ()
    doubted: tuple[tuple[str, str], ...] = ()
