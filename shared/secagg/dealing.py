"""The secrets of one institution in one round, their shares, and how a bundle of shares is laid out.

Institution ``u`` and its neighbours in the cohort are the ``m`` holders of its secrets: its self-mask seed, then the pair
seed with every neighbour in order of names. Holder ``w`` gets one *bundle*: its 32-byte share of each, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.secagg.errors import WrongShare
from shared.secagg.keys import KEY_BYTES
from shared.secagg.seals import commit_pair, commit_self
from shared.secagg.shamir import deal

SELF = ""
"""Stands for the self-mask seed where others are named by the peer they are shared with."""


@dataclass(frozen=True)
class Secrets:
    """The seeds of one institution in one round."""

    institution: str
    self_seed: bytes
    pair_seeds: Mapping[str, bytes]

    def commitments(self, context: bytes) -> dict[str, bytes]:
        """The commitment to each seed, by peer; :data:`SELF` for its own."""
        pairs = {peer: commit_pair(context, self.institution, peer, seed) for peer, seed in self.pair_seeds.items()}
        return {SELF: commit_self(context, self.institution, self.self_seed)} | pairs

    def bundles(self, holders: Sequence[str], threshold: int, random: Callable[[int], bytes]) -> dict[str, bytes]:
        """The bundle of every holder, the institution itself among them."""
        seeds = {SELF: self.self_seed, **self.pair_seeds}
        rows = b"".join(seeds[name] for name in secret_names(self.institution, holders))
        shares = deal(np.frombuffer(rows, np.uint8).reshape(-1, KEY_BYTES), threshold, len(holders), random)
        return {holder: share.tobytes() for holder, share in zip(holders, shares, strict=True)}


def secret_names(dealer: str, holders: Sequence[str]) -> tuple[str, ...]:
    """What a dealer's secrets are, in the order of a bundle."""
    return (SELF, *(name for name in holders if name != dealer))


def open_bundle(bundle: bytes, dealer: str, holders: Sequence[str]) -> dict[str, bytes]:
    """The shares in a bundle by secret; raises :class:`WrongShare` that names the dealer of one with another length."""
    secrets = secret_names(dealer, holders)
    if len(bundle) != len(secrets) * KEY_BYTES:
        raise WrongShare(f"'{dealer}' dealt a bundle of {len(bundle)} bytes, {len(secrets)} shares have {len(secrets) * KEY_BYTES}")
    return {name: bundle[index * KEY_BYTES : (index + 1) * KEY_BYTES] for index, name in enumerate(secrets)}
