"""Canonical encodings, the digests and the context made of them, and Ed25519 signatures over them.

Everything that is signed, hashed or used to derive a key is a *packed*: a label, then fields, each preceded by its
length (8 bytes, big-endian). Two different lists of fields never give the same bytes, and a signature made for one
purpose never verifies for another, because the label differs.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.secagg.errors import ForgedMessage, WrongRoster
from shared.secagg.messages import EpochKey, Masked, Plan, Shares, Words
from shared.secagg.roster import Roster

PROTOCOL = "fedstill/secagg/v1"
"""First field of everything packed; another version of the protocol never verifies."""
Field = str | bytes | int | float


def pack(label: str, *fields: Field) -> bytes:
    """The canonical bytes of ``label`` and ``fields``: each length-prefixed, integers as 8 bytes, floats as IEEE 754."""
    parts = []
    for field in (PROTOCOL, label, *fields):
        content = _encode(field)
        parts += [len(content).to_bytes(8, "big"), content]
    return b"".join(parts)


def plan_digest(plan: Plan) -> bytes:
    """SHA-256 over every field of a plan."""
    layout = plan.layout
    return digest(
        "plan",
        *(plan.run, plan.epoch, plan.round, plan.roster_digest, plan.keys_digest),
        names(plan.cohort),
        *(plan.threshold, plan.share_threshold, plan.collusion, plan.degree, plan.smallest_cohort),
        *(layout.update_words, layout.counters, layout.width),
        *(float(plan.clip_norm), plan.weight_cap, int(plan.rotation), float(plan.noise), float(plan.count_noise)),
        _fragments(plan),
        *(plan.body, plan.blob_digest),
    )


def keys_digest(keys: Iterable[EpochKey]) -> bytes:
    """SHA-256 over an epoch's keys in order of names: whose, of which run, epoch and roster. Nobody chooses it alone."""
    ordered = sorted(keys, key=lambda key: key.institution)
    return digest("epoch-keys", *(epoch_key_bytes(key) for key in ordered))


def round_context(plan: Plan) -> bytes:
    """What every signature, derivation and seal of the round binds: SHA-256 over run, epoch, round, roster and plan."""
    return digest("context", plan.run, plan.epoch, plan.round, plan.roster_digest, plan_digest(plan))


def epoch_key_bytes(key: EpochKey) -> bytes:
    """What an institution signs of its epoch key."""
    return pack("epoch-key", key.institution, key.run, key.epoch, key.roster_digest, key.public_key)


def agreement_bytes(context: bytes, survivors: Iterable[str]) -> bytes:
    """What an institution signs to say that ``survivors`` are the surviving set of a round."""
    return pack("survivors", context, names(survivors))


def masked_bytes(masked: Masked) -> bytes:
    """What an institution signs of its masked vector, its sealed shares and its commitments."""
    return pack(
        "masked",
        *(masked.institution, masked.context),
        _vector_digest(masked.counters),
        masked.update.dtype.itemsize,
        _vector_digest(masked.update),
        *(_by_name(masked.shares), _by_name(masked.commitments), masked.agreement),
    )


def shares_bytes(shares: Shares) -> bytes:
    """What an institution signs of the shares it gives."""
    pairs = (field for pair in sorted(shares.pair_shares) for field in (*pair, shares.pair_shares[pair]))
    return pack("shares", shares.institution, shares.context, _by_name(shares.self_shares), pack("pairs", *pairs))


def sign(identity: Ed25519PrivateKey, content: bytes) -> bytes:
    """The Ed25519 signature (64 bytes) of packed bytes."""
    return identity.sign(content)


def verify(public_key: bytes, signature: bytes, content: bytes, what: str) -> None:
    """Raises :class:`ForgedMessage`, naming ``what``, unless ``signature`` over ``content`` is the raw key's."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError) as error:
        raise ForgedMessage(f"{what} does not carry its owner's signature; it was changed or made by somebody else") from error


def verify_member(roster: Roster, institution: str, signature: bytes, content: bytes, what: str) -> None:
    """Checks a signature with the key that ``roster`` has pinned for ``institution``; raises also :class:`WrongRoster`."""
    if institution not in roster.members:
        raise WrongRoster(f"'{institution}' is not on the pinned roster: {what} counts for nothing")
    verify(roster.members[institution], signature, content, f"{what} of '{institution}'")


def verify_epoch_keys(keys: Iterable[EpochKey], roster: Roster) -> None:
    """Checks that epoch keys are their owners' and made for this roster; raises :class:`WrongRoster` or :class:`ForgedMessage`."""
    pinned = roster.digest
    for key in keys:
        if key.roster_digest != pinned:
            raise WrongRoster(f"the epoch key of '{key.institution}' was made for another roster than the pinned one")
        verify_member(roster, key.institution, key.signature, epoch_key_bytes(key), "the epoch key")


def names(members: Iterable[str]) -> bytes:
    """A list of names as one field."""
    return b"".join(len(name.encode()).to_bytes(8, "big") + name.encode() for name in members)


def _by_name(mapping: Mapping[str, bytes]) -> bytes:
    return pack("mapping", *(part for name in sorted(mapping) for part in (name, mapping[name])))


def _fragments(plan: Plan) -> bytes:
    fields: list[Field] = []
    for name in sorted(plan.fragments):
        ranges = plan.fragments[name]
        fields += [name, len(ranges), *(edge for pair in ranges for edge in pair)]
    return pack("fragments", *fields)


def digest(label: str, *fields: Field) -> bytes:
    """SHA-256 of :func:`pack`."""
    return hashlib.sha256(pack(label, *fields)).digest()


def _vector_digest(words: Words) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(words, words.dtype.newbyteorder("<")).data).digest()


def _encode(field: Field) -> bytes:
    match field:
        case str():
            return field.encode()
        case bytes():
            return field
        case int():
            return field.to_bytes(8, "big")
        case float():
            return struct.pack(">d", field)
