"""Canonical bytes of everything that is signed or hashed, and Ed25519 signatures over them.

Every byte string is a label followed by its parts, each length-prefixed, so that no two different values share an
encoding and a signature made for one purpose is worth nothing for another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.secagg.errors import ForgedMessage
from shared.secagg.messages import EpochKey, Masked, Plan, Shares

Part = bytes | str | int


def pack(label: str, *parts: Part) -> bytes:
    """The label and the parts, each as its length in 8 bytes and its content; integers are their decimal text."""
    return b"".join(len(content).to_bytes(8, "big") + content for content in map(_content, (label, *parts)))


def digest(label: str, *parts: Part) -> bytes:
    """SHA-256 of :func:`pack`."""
    return hashlib.sha256(pack(label, *parts)).digest()


def plan_digest(plan: Plan) -> bytes:
    """SHA-256 over every field of a plan."""
    layout = plan.layout
    return digest(
        "fedstill/plan/v1",
        *(plan.run, plan.epoch, plan.round, plan.roster_digest, digest("cohort", *plan.cohort), plan.threshold, plan.collusion),
        *(layout.update_words, layout.counters, layout.width, float(plan.clip_norm).hex(), plan.weight_cap, plan.body, plan.blob_digest),
    )


def round_context(plan: Plan) -> bytes:
    """What every signature, key and seal of a round is bound to: run, epoch, round, roster and the whole plan."""
    return digest("fedstill/secagg/v1", plan.run, plan.epoch, plan.round, plan.roster_digest, plan_digest(plan))


def epoch_key_bytes(key: EpochKey) -> bytes:
    """What an institution signs of its epoch key."""
    return pack("fedstill/epoch-key/v1", key.institution, key.run, key.epoch, key.roster_digest, key.public_key)


def agreement_bytes(context: bytes, survivors: Iterable[str]) -> bytes:
    """What an institution signs of a surviving set: whole cohort or smaller, the same form."""
    return pack("fedstill/survivors/v1", context, *survivors)


def masked_bytes(masked: Masked) -> bytes:
    """What an institution signs of its masked answer: every field, the vectors by their hash."""
    vectors = hashlib.sha256(masked.update.tobytes() + masked.counters.tobytes()).digest()
    sizes = (masked.update.size, masked.update.itemsize, masked.counters.size)
    return pack(
        "fedstill/masked/v1",
        *(masked.institution, masked.context, vectors, *sizes, masked.agreement),
        *(_mapping("shares", masked.shares), _mapping("commitments", masked.commitments)),
    )


def shares_bytes(shares: Shares) -> bytes:
    """What an institution signs of its answer to Unmask."""
    pairs = {f"{survivor}/{lost}": value for (survivor, lost), value in shares.pair_shares.items()}
    return pack("fedstill/shares/v1", shares.institution, shares.context, _mapping("self", shares.self_shares), _mapping("pairs", pairs))


def sign(identity: Ed25519PrivateKey, content: bytes) -> bytes:
    """An Ed25519 signature (64 bytes)."""
    return identity.sign(content)


def verify(public_key: bytes, signature: bytes, content: bytes, what: str) -> None:
    """Raises :class:`ForgedMessage`, naming ``what``, unless ``signature`` is the key's over ``content``."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError) as error:
        raise ForgedMessage(f"{what} does not carry its owner's signature; it was changed or made by somebody else") from error


def _mapping(label: str, values: Mapping[str, bytes]) -> bytes:
    return digest(label, *(part for name in sorted(values) for part in (name, values[name])))


def _content(part: Part) -> bytes:
    if isinstance(part, bytes):
        return part
    return str(part).encode()
