"""The invitation token: one line that an operator gives another, good for one institution, once, for a while.

A token is the coordinator's address, the SHA-256 of its CA's certificate, and a secret of 32 random bytes. The secret is the
seed of an Ed25519 key. The coordinator keeps the *public* key alone, so what lies on its disk lets nobody join; an institution
proves that it has the secret by a signature over everything that it hands in, so the secret itself never travels, and nothing
of what was signed can be exchanged on the way. The seed has 256 bits of chance: there is nothing to guess.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from shared.enrolment import Connection
from shared.errors import IdentityError

PREFIX = "fedstill-"
"""What every token begins with."""
SEED_BYTES = FINGERPRINT_BYTES = 32
_CHECK_BYTES = 4
_LONGEST = 1024
_LABEL = b"fedstill/join/v1"


@dataclass(frozen=True)
class Token:
    """What a token says. ``seed`` is the secret; it is left out of ``repr``."""

    connection: Connection
    ca_fingerprint: bytes
    seed: bytes = field(repr=False)

    @property
    def key(self) -> Ed25519PrivateKey:
        """The key that proves the secret."""
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> bytes:
        """The invitation's public key (32 bytes): what the coordinator knows it by."""
        return self.key.public_key().public_bytes_raw()

    def text(self) -> str:
        """The token as one line; a checksum tells a cut or mistyped one from a wrong one."""
        content = self.seed + self.ca_fingerprint + self.connection.address.encode()
        return PREFIX + base64.urlsafe_b64encode(content + _check(content)).decode().rstrip("=")


def make_token(connection: Connection, ca_fingerprint: bytes) -> Token:
    """A new token with a fresh secret."""
    return Token(connection, ca_fingerprint, secrets.token_bytes(SEED_BYTES))


def read_token(text: str) -> Token:
    """The token that ``text`` holds; raises :class:`IdentityError`, which does not repeat the text, if it is none."""
    words = text.strip()
    try:
        if not words.startswith(PREFIX) or len(words) > _LONGEST:
            raise ValueError
        encoded = words.removeprefix(PREFIX)
        whole = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        content, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
        if check != _check(content):
            raise ValueError
        seed, fingerprint = content[:SEED_BYTES], content[SEED_BYTES : SEED_BYTES + FINGERPRINT_BYTES]
        return Token(Connection(address=content[SEED_BYTES + FINGERPRINT_BYTES :].decode()), fingerprint, seed)
    except (ValueError, binascii.Error, ValidationError) as error:
        raise IdentityError("that is not a whole invitation token: copy it again, all of it, as 'coordinator invite' printed it") from error


def prove(token: Token, enrolment: bytes, request: bytes) -> bytes:
    """The signature that proves the token's secret, over the enrolment and the certificate request that it is used for."""
    return token.key.sign(_proven(token.ca_fingerprint, enrolment, request))


def proves(public: bytes, proof: bytes, ca_fingerprint: bytes, enrolment: bytes, request: bytes) -> bool:
    """Whether ``proof`` was made by the holder of the invitation's secret for exactly this."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(proof, _proven(ca_fingerprint, enrolment, request))
    except (InvalidSignature, ValueError):
        return False
    return True


def _proven(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in (_LABEL, *parts))


def _check(content: bytes) -> bytes:
    return hashlib.sha256(b"fedstill/token/v1" + content).digest()[:_CHECK_BYTES]
