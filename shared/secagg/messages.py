"""The typed messages of the protocol. Each has one canonical encoding (``signing.py``), which is what is signed.

Institutions are named by their roster name everywhere; mappings are iterated in sorted order of names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.unsignedinteger[Any]]
"""Ring words: ``uint8``, ``uint16`` or ``uint32`` for the update, ``uint64`` for the counters."""


@dataclass(frozen=True)
class Layout:
    """Shape of a masked vector: ``update_words`` words of ``width`` bits, then control and ``counters`` 64-bit words.

    The control words are a 1 (their sum counts the survivors), the sample weight, and with fragments the weight in each
    cell (``fragments.py``).
    """

    update_words: int
    counters: int
    width: int = 16


Fragment = tuple[tuple[int, int], ...]
"""The coordinates that an institution trains: half-open ranges ``(start, stop)``, in order and apart."""


@dataclass(frozen=True)
class Plan:
    """What one round is. Its digest is bound into every signature, key derivation and seal of the round.

    ``keys_digest`` names the signed epoch keys that everyone holds (``signing.keys_digest``). ``cohort`` is sorted and
    unique; ``2 * threshold > len(cohort) + collusion`` is how many must sign a surviving set. ``degree`` is the number of
    neighbours in the graph (``graph.py``; 0: everyone is everyone's), ``share_threshold`` how many shares give a seed: the
    threshold itself on the complete graph. ``smallest_cohort`` is the fewest that may stand behind a coordinate.

    ``weight_cap`` is the largest sample weight an institution may claim; ``rotation`` spreads an update over all
    coordinates before it is rounded; ``noise`` is the standard deviation, in ring steps, of what each institution adds to
    each coordinate, ``count_noise`` of what it adds to its clip count (0: none). ``fragments`` names who trains only a
    part. ``body`` is the application's part (``shared/work.py``), opaque here; ``blob_digest`` is the SHA-256 of the blob
    that comes with the Train message (the model).
    """

    run: str
    epoch: int
    round: int
    roster_digest: bytes
    keys_digest: bytes
    cohort: tuple[str, ...]
    threshold: int
    share_threshold: int
    collusion: int
    layout: Layout
    clip_norm: float
    weight_cap: int
    body: bytes
    blob_digest: bytes
    degree: int = 0
    smallest_cohort: int = 2
    rotation: bool = False
    noise: float = 0.0
    count_noise: float = 0.0
    fragments: Mapping[str, Fragment] = field(default_factory=dict)


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
    ``agreement`` signs "the whole cohort survived" for the round's context (empty on a sparse graph, where every set is
    agreed on); ``signature`` covers everything. Shares and commitments go to the neighbours.
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
    """Someone of the cohort did not answer, or the graph is sparse: sign this surviving set, once a round."""

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

    ``update`` is the centred integer sum ``(update_words,)``, signed and as wide as the ring; ``counters`` are ``uint64 (counters,)``;
    ``cell_weights`` are the sample weights behind each cell of the plan's fragments (without any: the one weight);
    ``blamed`` names institutions whose shares or commitments were wrong, for certain; ``doubted`` are pairs of which one was
    at fault and nobody can tell which. What was wrong was left out.
    """

    survivors: tuple[str, ...]
    weight: int
    update: NDArray[np.signedinteger[Any]]
    counters: NDArray[np.uint64]
    cell_weights: tuple[int, ...] = ()
    blamed: tuple[str, ...] = ()
    doubted: tuple[tuple[str, str], ...] = ()
