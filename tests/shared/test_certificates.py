"""A server proves itself to whoever pinned the authority, for the names it was given and as long as the dates say."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from shared.certificates import (
    JOIN_HOST,
    SERVER_DAYS,
    fingerprint_of,
    hosts_of,
    lets_join,
    load_authority,
    load_certificate,
    make_authority,
    make_server_certificate,
)
from shared.errors import IdentityError


def greet(folder: Path, trusted: Path, name: str) -> str:
    """One TLS handshake over a socket pair; the client's error, or an empty string."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    client = ssl.create_default_context(cafile=str(trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()
    here.settimeout(10)
    there.settimeout(10)

    def serve() -> None:
        try:
            server.wrap_socket(there, server_side=True).close()
        except (ssl.SSLError, OSError):
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(here, server_hostname=name).close()
        return ""
    except ssl.SSLError as error:
        return str(error)
    finally:
        here.close()
        thread.join(10)


def test_a_client_that_pinned_the_authority_accepts_the_named_hosts_only(tmp_path: Path) -> None:
    make_server_certificate(tmp_path, make_authority(tmp_path, name="heart"), ["fl.example.org", "10.0.0.5"])
    for host in ("fl.example.org", "10.0.0.5", "localhost", "127.0.0.1"):
        assert greet(tmp_path, tmp_path / "ca.crt", host) == ""
    assert "mismatch" in greet(tmp_path, tmp_path / "ca.crt", "other.example.org")


def test_another_authority_is_refused(tmp_path: Path) -> None:
    make_server_certificate(tmp_path / "a", make_authority(tmp_path / "a", name="heart"), ["localhost"])
    make_authority(tmp_path / "b", name="heart")
    assert "verify failed" in greet(tmp_path / "a", tmp_path / "b" / "ca.crt", "localhost")


def test_private_parts_are_private_and_the_authority_is_never_overwritten(tmp_path: Path) -> None:
    make_server_certificate(tmp_path, make_authority(tmp_path, name="heart"), [])
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(IdentityError, match="already"):
        make_authority(tmp_path, name="heart")


def test_a_server_certificate_is_renewed_by_the_loaded_authority(tmp_path: Path) -> None:
    first = make_server_certificate(tmp_path, make_authority(tmp_path, name="heart"), ["a.example.org"])
    second = make_server_certificate(tmp_path, load_authority(tmp_path), ["b.example.org"])
    assert first.serial_number != second.serial_number
    assert hosts_of(load_certificate(tmp_path / "server.pem")) == ("b.example.org", "localhost", "127.0.0.1")


def test_every_server_certificate_lets_institutions_join_and_says_no_more_of_it(tmp_path: Path) -> None:
    made = make_server_certificate(tmp_path, make_authority(tmp_path, name="heart"), [])
    assert lets_join(made)
    assert JOIN_HOST not in hosts_of(made)
    assert len(fingerprint_of(made)) == 32
    assert fingerprint_of(made) == hashlib.sha256(made.public_bytes(Encoding.DER)).digest()


def test_dates_are_checked(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    make_server_certificate(tmp_path, make_authority(tmp_path, name="heart", now=now), [], now=now)
    load_certificate(tmp_path / "server.pem", now=now + timedelta(days=SERVER_DAYS - 1))
    for moment in (now - timedelta(days=1), now + timedelta(days=SERVER_DAYS + 1)):
        with pytest.raises(IdentityError, match="renew it"):
            load_certificate(tmp_path / "server.pem", now=moment)


def test_an_authority_of_two_halves_is_refused(tmp_path: Path) -> None:
    make_authority(tmp_path / "a", name="heart")
    make_authority(tmp_path / "b", name="heart")
    (tmp_path / "a" / "ca.crt").write_bytes((tmp_path / "b" / "ca.crt").read_bytes())
    with pytest.raises(IdentityError, match="does not belong"):
        load_authority(tmp_path / "a")


def test_a_damaged_certificate_and_key_are_named(tmp_path: Path) -> None:
    make_authority(tmp_path, name="heart")
    (tmp_path / "ca.key").write_bytes(b"junk")
    with pytest.raises(IdentityError, match="damaged"):
        load_authority(tmp_path)
    (tmp_path / "ca.crt").write_bytes(b"junk")
    with pytest.raises(IdentityError, match="not a PEM certificate"):
        load_certificate(tmp_path / "ca.crt")
