"""The coordinator's own small certificate authority: EC P-256, one CA, one server certificate, dates that are stated.

Institutions pin the CA's certificate, so the machine's list of public authorities plays no part.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.errors import IdentityError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.identity import read_private, refuse_overwriting
from shared.issuing import builder, common_name, end_entity, private_pem, usage

CA_DAYS = 3650
"""Days for which a new authority's certificate holds."""
SERVER_DAYS = 825
"""Days for which a server's certificate holds: the longest that common clients accept."""
JOIN_HOST = "join.fedstill.internal"
"""The name that a server's certificate also has, and that an institution asks for while it has no certificate of its own yet:
by it the coordinator's door knows whom to let in without one (``server/door.py``)."""
_ALWAYS = ("localhost", "127.0.0.1", JOIN_HOST)


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and the key that signs with it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_authority(folder: Path, *, name: str, now: datetime | None = None) -> Authority:
    """Makes ``ca.key`` (0600) and ``ca.crt`` in ``folder``; raises :class:`IdentityError` if there is one already."""
    refuse_overwriting(folder / "ca.key")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = common_name(f"{name} authority")
    made = builder(subject, subject, key.public_key(), now or datetime.now(UTC), CA_DAYS)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(usage(signs_certificates=True), critical=True)
    certificate = made.sign(key, hashes.SHA256())
    write_atomic(folder / "ca.key", private_pem(key), mode=PRIVATE_MODE)
    write_atomic(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key)


def load_authority(folder: Path) -> Authority:
    """The authority in ``folder``; raises :class:`IdentityError` if its files do not fit."""
    key = load_ec_key(folder / "ca.key")
    certificate = load_certificate(folder / "ca.crt")
    if certificate.public_key() != key.public_key():
        raise IdentityError(f"{folder / 'ca.crt'} does not belong to {folder / 'ca.key'}: restore both from the same backup")
    return Authority(certificate, key)


def make_server_certificate(folder: Path, authority: Authority, hosts: Sequence[str], *, now: datetime | None = None) -> x509.Certificate:
    """Makes ``server.key`` (0600) and ``server.pem`` in ``folder``, good for ``hosts`` (names or addresses) and loopback.

    May be called again: a server's certificate is renewed, and nobody has pinned it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = list(dict.fromkeys([*hosts, *_ALWAYS]))
    made = builder(common_name(names[0]), authority.certificate.subject, key.public_key(), now or datetime.now(UTC), SERVER_DAYS)
    made = end_entity(made, authority.key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH)
    made = made.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
    certificate = made.sign(authority.key, hashes.SHA256())
    write_atomic(folder / "server.key", private_pem(key), mode=PRIVATE_MODE)
    write_atomic(folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def load_certificate(path: Path, *, now: datetime | None = None, ended_too: bool = False) -> x509.Certificate:
    """The certificate at ``path``; raises :class:`IdentityError` if it is none, or (unless ``ended_too``) does not hold today."""
    try:
        certificate = x509.load_pem_x509_certificate(read_bytes(path, what="certificate"))
    except (ValueError, x509.InvalidVersion) as error:
        raise IdentityError(f"{path} is not a PEM certificate: fetch it again from the coordinator's operator") from error
    moment = now or datetime.now(UTC)
    if not ended_too and not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        dates = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise IdentityError(f"the certificate {path} holds from {dates} and not today: renew it, or set this machine's clock right")
    return certificate


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a server's certificate is good for, in order, but for :data:`JOIN_HOST`, which all have."""
    return tuple(name for name in _names(certificate) if name != JOIN_HOST)


def lets_join(certificate: x509.Certificate) -> bool:
    """Whether a server's certificate has :data:`JOIN_HOST`; those of earlier releases have not."""
    return JOIN_HOST in _names(certificate)


def fingerprint_of(certificate: x509.Certificate) -> bytes:
    """SHA-256 of a certificate's DER bytes."""
    return certificate.fingerprint(hashes.SHA256())


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def load_ec_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The EC private key at ``path``; raises :class:`IdentityError` if it is none, or open to others than its owner."""
    try:
        key = serialization.load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError) as error:
        raise IdentityError(f"the private key {path} does not open: it is damaged") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"the private key {path} is not an EC key: restore it from a backup")
    return key
