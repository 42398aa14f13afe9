"""The parts that every certificate of a federation has in common: EC P-256, SHA-256, stated dates, one usage."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLOCK_SKEW = timedelta(hours=1)
"""How far a new certificate's first moment lies back, for machines whose clocks are behind."""


def builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int) -> x509.CertificateBuilder:
    """A certificate for ``key`` that holds for ``days``, without its usage yet."""
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - CLOCK_SKEW)
    made = made.not_valid_after(now + timedelta(days=days))
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def end_entity(
    made: x509.CertificateBuilder, authority: ec.EllipticCurvePublicKey, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    """Adds that the certificate signs no others, and is good for one ``purpose`` (server or client)."""
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(usage(signs_certificates=False), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What the key may do: sign certificates, or prove itself."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def common_name(name: str) -> x509.Name:
    """A subject that is a common name alone, at most 64 characters as X.509 has it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def name_of(subject: x509.Name) -> str | None:
    """The common name of a subject that is one common name and nothing else; ``None`` for any other."""
    found = list(subject)
    if len(found) != 1 or found[0].oid != NameOID.COMMON_NAME or not isinstance(found[0].value, str):
        return None
    return found[0].value


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as unencrypted PKCS8 PEM."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
