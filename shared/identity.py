"""Identities: who signs. Ed25519 keys of institutions and the coordinator, the pinned roster, and Flower's node keys.

A private key is made where it is used, is readable by its owner only, and never travels. What does travel is in the
roster: every member's name with its raw public key, and the coordinator's. An institution pins the roster once, after
its operator has compared its fingerprint with the coordinator's by another way than the network.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import TypeAdapter

from shared.config import Name
from shared.errors import IdentityError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.secagg.roster import Roster

PASSPHRASE_FILE_VARIABLE = "FEDSTILL_PASSPHRASE_FILE"
"""Names a file whose content, less its last line end, opens encrypted identity keys: for services without a keyboard."""
PUBLIC_KEY_BYTES = 32
"""Length of a raw Ed25519 public key."""
_OTHERS = 0o077
_NAMES = TypeAdapter(Name)


def make_identity(path: Path, *, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Makes a new Ed25519 key at ``path`` (PKCS8 PEM, mode 0600, encrypted if there is a passphrase) and returns it.

    Raises :class:`IdentityError` if there is a key already: an identity is never overwritten.
    """
    refuse_overwriting(path)
    secret = passphrase if passphrase is not None else _passphrase_of_service()
    lock = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    write_atomic(path, pem, mode=PRIVATE_MODE)
    return key


def load_identity(path: Path, *, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """The Ed25519 key at ``path``; without ``passphrase`` the file that ``FEDSTILL_PASSPHRASE_FILE`` names is tried.

    Raises :class:`MissingFileError` if there is none, and :class:`IdentityError` if others than its owner can read it,
    or if it does not open: a wrong passphrase and a damaged file give the same sentence on purpose.
    """
    pem = read_private(path)
    secret = passphrase if passphrase is not None else _passphrase_of_service()
    if b"ENCRYPTED" in pem and secret is None:
        raise IdentityError(f"the identity key {path} is encrypted: name the file with its passphrase in {PASSPHRASE_FILE_VARIABLE}")
    try:
        key = serialization.load_pem_private_key(pem, password=secret if b"ENCRYPTED" in pem else None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        raise IdentityError(f"the identity key {path} does not open: its passphrase is wrong or the file is damaged") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"the identity key {path} is not an Ed25519 key: make one with 'fedstill client init' or 'coordinator init'")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw public key (32 bytes) of an identity."""
    return key.public_key().public_bytes_raw()


def make_node_key(path: Path) -> bytes:
    """Makes the key with which an institution's SuperNode proves itself to Flower, as ``ssh-keygen -t ecdsa -b 384`` does.

    Writes the P-384 private key to ``path`` (OpenSSH format, 0600) and its public line to ``path`` + ``.pub``; returns
    that line. Raises :class:`IdentityError` if there is a key already.
    """
    refuse_overwriting(path)
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_atomic(path.with_name(path.name + ".pub"), public + b"\n")
    write_atomic(path, private, mode=PRIVATE_MODE)
    return public


def save_roster(path: Path, roster: Roster) -> None:
    """Writes a roster as :func:`roster_bytes` has it."""
    write_atomic(path, roster_bytes(roster))


def load_roster(path: Path) -> Roster:
    """The roster at ``path``; raises :class:`IdentityError` if it is not one, :class:`MissingFileError` if it is not there."""
    return parse_roster(read_bytes(path, what="roster"), where=str(path))


def roster_bytes(roster: Roster) -> bytes:
    """A roster as JSON: member name to base64 of its raw public key, and the coordinator's."""
    table = {
        "coordinator": base64.b64encode(roster.coordinator).decode(),
        "members": {name: base64.b64encode(key).decode() for name, key in sorted(roster.members.items())},
    }
    return (json.dumps(table, indent=2) + "\n").encode()


def parse_roster(content: bytes, *, where: str) -> Roster:
    """The roster that ``content`` holds; raises :class:`IdentityError`, which names ``where``, if it is not one."""
    try:
        table = json.loads(content)
        if set(table) != {"coordinator", "members"}:
            raise ValueError("unknown keys")
        return Roster(
            members={_name(name): _public_key(text) for name, text in table["members"].items()},
            coordinator=_public_key(table["coordinator"]),
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise IdentityError(f"{where} is not a roster: fetch it again from the coordinator's operator") from error


def sign(key: Ed25519PrivateKey, purpose: str, content: bytes) -> bytes:
    """An identity's signature over ``content``, good for one ``purpose`` only."""
    return key.sign(_to_sign(purpose, content))


def verify(public: bytes, signature: bytes, purpose: str, content: bytes, *, what: str) -> None:
    """Raises :class:`IdentityError` unless ``public`` signed ``content`` for ``purpose``; ``what`` says what it is."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _to_sign(purpose, content))
    except (InvalidSignature, ValueError) as error:
        raise IdentityError(f"{what} is not signed by the coordinator that is pinned here: ask its operator what happened") from error


def fingerprint(digest: bytes) -> str:
    """A digest in groups of four hex digits, for two people to compare over the telephone."""
    text = digest.hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def read_private(path: Path) -> bytes:
    """Reads a file that only its owner may read; raises :class:`IdentityError` if others may."""
    content = read_bytes(path, what="private key")
    if os.name == "posix" and path.stat().st_mode & _OTHERS:
        raise IdentityError(f"the private key {path} is open to other users of this machine: run 'chmod 600 {path}'")
    return content


def refuse_overwriting(path: Path) -> None:
    """Raises :class:`IdentityError` if there is a private key at ``path``: what others trust must not vanish by a slip."""
    if path.exists():
        raise IdentityError(f"there is a key at {path} already: keep it, or move it away before a new one is made")


def _passphrase_of_service() -> bytes | None:
    named = os.environ.get(PASSPHRASE_FILE_VARIABLE)
    return read_bytes(Path(named), what="passphrase file").rstrip(b"\r\n") if named else None


def _to_sign(purpose: str, content: bytes) -> bytes:
    return f"fedstill/{purpose}/v1\0".encode() + content


def _name(name: Any) -> str:
    return _NAMES.validate_python(name)


def _public_key(text: Any) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != PUBLIC_KEY_BYTES:
        raise ValueError("not an Ed25519 public key")
    return key
