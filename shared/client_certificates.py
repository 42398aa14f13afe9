"""Certificates by which an institution proves itself to the coordinator's API: key and request on its site, certificate from the CA.

The certificate says the institution's name as its common name, and nothing else. It holds for :data:`CLIENT_DAYS` and is renewed
by itself once less than :data:`RENEW_BEFORE` is left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.certificates import Authority, load_ec_key
from shared.errors import IdentityError
from shared.files import PRIVATE_MODE, write_atomic
from shared.issuing import builder, common_name, end_entity, name_of, private_pem

CLIENT_DAYS = 90
"""Days for which an institution's certificate holds."""
RENEW_BEFORE = timedelta(days=30)
"""A certificate with less than this left is renewed: institutions may be away for weeks."""
LARGEST_REQUEST = 4096
"""Bytes of the largest certificate request that is looked at; one over a P-256 key has some 250."""


def client_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key at ``path``; a new one (P-256, 0600) where there is none yet."""
    if path.exists():
        return load_ec_key(path)
    key = ec.generate_private_key(ec.SECP256R1())
    write_atomic(path, private_pem(key), mode=PRIVATE_MODE)
    return key


def make_request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """A PKCS#10 request (DER) for institution ``name``, signed with the key that it is for."""
    request = x509.CertificateSigningRequestBuilder().subject_name(common_name(name)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def issue(authority: Authority, request: bytes, name: str, *, now: datetime | None = None) -> x509.Certificate:
    """The certificate for institution ``name``; extensions that the request asks for are ignored.

    Raises :class:`IdentityError` if the request is none, is not signed with its own key, is not over P-256 or names another.
    """
    key = _requested_key(request, name)
    moment = now or datetime.now(UTC)
    made = builder(common_name(name), authority.certificate.subject, key, moment, CLIENT_DAYS)
    return end_entity(made, authority.key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH).sign(authority.key, hashes.SHA256())


def needs_renewal(certificate: x509.Certificate, *, now: datetime | None = None, before: timedelta = RENEW_BEFORE) -> bool:
    """Whether less than ``before`` is left of a certificate's time."""
    return certificate.not_valid_after_utc - (now or datetime.now(UTC)) < before


def check_issued(pem: bytes, key: ec.EllipticCurvePrivateKey, name: str, ca: x509.Certificate) -> x509.Certificate:
    """The certificate ``pem`` if ``ca`` made it for this very key and name; else raises :class:`IdentityError`."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(ca)
    except Exception as error:  # the library raises a dozen kinds, and all mean the same here
        raise IdentityError("the coordinator sent a certificate that its own CA did not make: ask its operator") from error
    if certificate.public_key() != key.public_key() or name_of(certificate.subject) != name:
        raise IdentityError(f"the coordinator sent a certificate that is not for '{name}' and its key: ask its operator")
    return certificate


def _requested_key(request: bytes, name: str) -> ec.EllipticCurvePublicKey:
    wrong = IdentityError(f"the certificate request is not one of '{name}' over a P-256 key: make it with 'fedstill client join'")
    if len(request) > LARGEST_REQUEST:
        raise wrong
    try:
        parsed = x509.load_der_x509_csr(request)
        key, genuine = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise wrong from error
    if not genuine or name_of(parsed.subject) != name:
        raise wrong
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise wrong
    return key
