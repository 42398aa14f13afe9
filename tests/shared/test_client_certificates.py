"""A certificate is for the name that was invited and the key that asked, whatever the request says besides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared.certificates import Authority, make_authority
from shared.client_certificates import CLIENT_DAYS, LARGEST_REQUEST, check_issued, client_key, issue, make_request, needs_renewal
from shared.errors import IdentityError
from shared.issuing import common_name, name_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"), name="trial")


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    made = client_key(tmp_path / "client.key")
    assert (tmp_path / "client.key").stat().st_mode & 0o777 == 0o600
    assert client_key(tmp_path / "client.key").private_numbers() == made.private_numbers()


def test_a_certificate_says_the_name_and_is_for_clients_only(authority: Authority) -> None:
    mine = key()
    made = issue(authority, make_request(mine, "va"), "va", now=NOW)
    assert name_of(made.subject) == "va"
    assert made.public_key() == mine.public_key()
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.not_valid_after_utc - NOW == timedelta(days=CLIENT_DAYS)
    made.verify_directly_issued_by(authority.certificate)


def test_what_a_request_asks_for_beside_its_key_is_not_given(authority: Authority) -> None:
    mine = key()
    wish = x509.CertificateSigningRequestBuilder().subject_name(common_name("va"))
    wish = wish.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    wish = wish.add_extension(x509.SubjectAlternativeName([x509.DNSName("fl.example.org")]), critical=False)
    made = issue(authority, wish.sign(mine, hashes.SHA256()).public_bytes(Encoding.DER), "va")
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def other_requests() -> list[bytes]:
    two_names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "va"), x509.NameAttribute(NameOID.COMMON_NAME, "cl")])
    signed = [
        x509.CertificateSigningRequestBuilder().subject_name(two_names).sign(key(), hashes.SHA256()),
        x509.CertificateSigningRequestBuilder()
        .subject_name(common_name("va"))
        .sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()),
        x509.CertificateSigningRequestBuilder().subject_name(common_name("va")).sign(ed25519.Ed25519PrivateKey.generate(), None),
        x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key(), hashes.SHA256()),
    ]
    good = make_request(key(), "va")
    forged = good[:-1] + bytes([good[-1] ^ 1])
    return [
        make_request(key(), "cl"),
        *(one.public_bytes(Encoding.DER) for one in signed),
        forged,
        b"",
        b"\x30\x80",
        bytes(LARGEST_REQUEST + 1),
    ]


@pytest.mark.parametrize("request_bytes", other_requests())
def test_any_other_request_is_refused(authority: Authority, request_bytes: bytes) -> None:
    with pytest.raises(IdentityError, match="not one of 'va'"):
        issue(authority, request_bytes, "va")


@given(st.binary(max_size=400))
def test_nonsense_is_refused(content: bytes) -> None:
    # The authority is never reached.
    with pytest.raises(IdentityError, match="not one of 'va'"):
        issue(None, content, "va")  # type: ignore[arg-type]


def test_what_comes_back_is_checked(authority: Authority, tmp_path: Path) -> None:
    mine, stranger = key(), make_authority(tmp_path, name="mallory")
    good = issue(authority, make_request(mine, "va"), "va").public_bytes(Encoding.PEM)
    assert name_of(check_issued(good, mine, "va", authority.certificate).subject) == "va"
    for wrong in (b"", issue(stranger, make_request(mine, "va"), "va").public_bytes(Encoding.PEM)):
        with pytest.raises(IdentityError, match="own CA did not make"):
            check_issued(wrong, mine, "va", authority.certificate)
    with pytest.raises(IdentityError, match="not for 'cl'"):
        check_issued(good, mine, "cl", authority.certificate)
    with pytest.raises(IdentityError, match="not for 'va'"):
        check_issued(good, key(), "va", authority.certificate)


def test_renewal_is_due_a_month_before_the_end(authority: Authority) -> None:
    made = issue(authority, make_request(key(), "va"), "va", now=NOW)
    assert not needs_renewal(made, now=NOW + timedelta(days=CLIENT_DAYS - 31))
    assert needs_renewal(made, now=NOW + timedelta(days=CLIENT_DAYS - 29))
