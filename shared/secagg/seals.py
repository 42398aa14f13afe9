"""Sealed shares and commitments to seeds.

A seal is AES-256-GCM under a key that is derived for one round, sender and receiver (``keys.seal_key``), with a fresh
nonce besides, and with context, sender and receiver as associated data: a share that was moved to another receiver,
round or plan does not open. A commitment is a SHA-256 over context, purpose, owner and a seed of 256 random bits: it
binds the owner and tells nothing about the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.secagg.errors import WrongShare
from shared.secagg.keys import ordered
from shared.secagg.signing import pack

NONCE_BYTES = 12
"""Length of an AES-GCM nonce."""
OVERHEAD_BYTES = NONCE_BYTES + 16
"""How much longer a sealed message is: nonce and tag."""
COMMITMENT_BYTES = 32
"""Length of a commitment."""


def seal(key: bytes, content: bytes, context: bytes, sender: str, receiver: str, random: Callable[[int], bytes]) -> bytes:
    """``nonce ‖ ciphertext ‖ tag`` of ``content``."""
    nonce = random(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, pack("seal", context, sender, receiver))


def unseal(key: bytes, sealed: bytes, context: bytes, sender: str, receiver: str) -> bytes:
    """What was sealed; raises :class:`WrongShare` that names both ends if it was not, or not for this round and receiver."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], pack("seal", context, sender, receiver))
    except (InvalidTag, ValueError) as error:
        raise WrongShare(f"the share that '{sender}' is said to have sealed to '{receiver}' does not open in this round") from error


def commit_self(context: bytes, institution: str, seed: bytes) -> bytes:
    """The commitment to an institution's self-mask seed."""
    return hashlib.sha256(pack("commit-self", context, institution, seed)).digest()


def commit_pair(context: bytes, one: str, other: str, seed: bytes) -> bytes:
    """The commitment to the seed that a pair shares; the same from both ends, so that the two can be compared."""
    return hashlib.sha256(pack("commit-pair", context, *ordered(one, other), seed)).digest()
