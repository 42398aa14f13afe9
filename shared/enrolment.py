"""What an institution and a coordinator give each other once, before the first run: public parts only.

The institution's enrolment goes to the coordinator; the roster, the CA's certificate and the coordinator's address come
back and are pinned. By hand they travel as files; an invitation (``shared/invitation.py``) carries the same parts by the network.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import Field, ValidationError

from shared.config import Name
from shared.errors import IdentityError
from shared.files import read_bytes, write_atomic
from shared.frozen import Frozen
from shared.identity import public_bytes

LARGEST = 16_384
"""Bytes of the largest enrolment that is looked at; one has some 700."""
_LABEL = b"fedstill/enrolment/v1\0"


class Enrolment(Frozen):
    """An institution's public parts: its name, Ed25519 key (base64), SuperNode key (OpenSSH line), and a proof.

    ``proof`` (base64) is the identity's signature over the rest: who sends it holds the key and chose the node key.
    """

    name: Name
    identity: str
    node_key: str
    proof: str = ""

    @property
    def identity_bytes(self) -> bytes:
        """The raw Ed25519 public key (32 bytes)."""
        return base64.b64decode(self.identity)

    def signed_part(self) -> bytes:
        """What ``proof`` signs."""
        return _LABEL + self.model_copy(update={"proof": ""}).canonical()


class Connection(Frozen):
    """Where an institution finds its coordinator: ``host:port`` of the coordinator's gateway."""

    address: str = Field(pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$")

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The address's port."""
        return int(self.address.rpartition(":")[2])


def make_enrolment(name: str, identity: Ed25519PrivateKey, node_key: bytes) -> Enrolment:
    """The enrolment of an institution, signed with its identity."""
    public = base64.b64encode(public_bytes(identity)).decode()
    unsigned = Enrolment(name=name, identity=public, node_key=node_key.decode().strip())
    return unsigned.model_copy(update={"proof": base64.b64encode(identity.sign(unsigned.signed_part())).decode()})


def read_enrolment(path: Path) -> Enrolment:
    """The enrolment at ``path``, checked whole as in :func:`parse_enrolment`; raises :class:`MissingFileError` too."""
    return parse_enrolment(read_bytes(path, what="enrolment"), where=str(path))


def parse_enrolment(content: bytes, *, where: str) -> Enrolment:
    """The enrolment that ``content`` (JSON) holds, checked whole: keys of the right kinds, and the proof.

    Raises :class:`IdentityError`, with one sentence for every way in which it can be wrong; ``where`` says which file it is.
    """
    try:
        if len(content) > LARGEST:
            raise ValueError("too large")
        enrolment = Enrolment.parse(content)
        Ed25519PublicKey.from_public_bytes(enrolment.identity_bytes).verify(
            base64.b64decode(enrolment.proof, validate=True), enrolment.signed_part()
        )
        node_key = load_ssh_public_key(enrolment.node_key.encode())
    except (ValidationError, InvalidSignature, binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"{where} is not a genuine enrolment: ask the institution to send its enrolment.json again") from error
    if not isinstance(node_key, ec.EllipticCurvePublicKey) or not isinstance(node_key.curve, ec.SECP384R1):
        raise IdentityError(f"{where} holds a node key that is not P-384: make the institution's keys with 'fedstill client init'")
    return enrolment


def write_connection(path: Path, connection: Connection) -> None:
    """Writes where the coordinator is found."""
    write_atomic(path, connection.model_dump_json(indent=2).encode() + b"\n")


def read_connection(path: Path) -> Connection:
    """Where the coordinator is found; raises :class:`IdentityError` if the file is not as ``client pin`` writes it."""
    try:
        return Connection.parse(read_bytes(path, what="coordinator's address"))
    except ValidationError as error:
        raise IdentityError(f"{path} does not name the coordinator as host:port: pin it again with 'fedstill client pin'") from error
