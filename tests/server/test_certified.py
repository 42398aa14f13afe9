"""A certificate holds if it is listed, and not a moment longer."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from server.certified import MOST_AT_ONCE, Certified
from shared.certificates import Authority, make_authority
from shared.client_certificates import issue, make_request


def issued(authority: Authority, name: str = "va") -> x509.Certificate:
    return issue(authority, make_request(ec.generate_private_key(ec.SECP256R1()), name), name)


def test_a_listed_certificate_holds_for_its_name_alone(tmp_path: Path) -> None:
    certified, made = Certified(tmp_path / "listed"), issued(make_authority(tmp_path, name="trial"))
    assert not certified.holds("va", made.serial_number)
    certified.add("va", made)
    assert certified.holds("va", made.serial_number)
    assert not certified.holds("cl", made.serial_number)
    assert not certified.holds("va", made.serial_number + 1)
    assert certified.until("va") == made.not_valid_after_utc.timestamp()


def test_older_ones_hold_beside_the_newest_until_they_are_too_many_or_have_ended(tmp_path: Path) -> None:
    certified, authority = Certified(tmp_path / "listed"), make_authority(tmp_path, name="trial")
    made = [issued(authority) for _ in range(MOST_AT_ONCE + 1)]
    for one in made:
        certified.add("va", one)
    assert [certified.holds("va", one.serial_number) for one in made] == [False] + [True] * MOST_AT_ONCE
    newest = issued(authority)
    certified.add("va", newest, now=made[0].not_valid_after_utc.timestamp() + 60)
    assert [certified.holds("va", one.serial_number) for one in (*made, newest)] == [False] * (MOST_AT_ONCE + 1) + [True]


def test_taking_back_is_at_once_and_for_all(tmp_path: Path) -> None:
    certified, authority = Certified(tmp_path / "listed"), make_authority(tmp_path, name="trial")
    made = [issued(authority), issued(authority)]
    for one in made:
        certified.add("va", one)
    assert certified.revoke("va") == 2
    assert not any(certified.holds("va", one.serial_number) for one in made)
    assert certified.revoke("va") == 0
    assert certified.until("va") is None


def test_a_damaged_list_admits_nobody(tmp_path: Path) -> None:
    certified, made = Certified(tmp_path / "listed"), issued(make_authority(tmp_path, name="trial"))
    certified.add("va", made)
    (tmp_path / "listed" / "va.json").write_bytes(b"{}")
    assert not certified.holds("va", made.serial_number)


def test_when_the_newest_was_made(tmp_path: Path) -> None:
    certified, authority = Certified(tmp_path / "listed"), make_authority(tmp_path, name="trial")
    assert certified.made("va") == 0.0
    moment = issued(authority).not_valid_before_utc.timestamp()
    for later in (0.0, 60.0):
        certified.add("va", issued(authority), now=moment + later)
    assert certified.made("va") == moment + 60.0


def test_a_list_of_an_earlier_release_holds(tmp_path: Path) -> None:
    certified, made = Certified(tmp_path / "listed"), issued(make_authority(tmp_path, name="trial"))
    certified.add("va", made, now=7.0)
    path = tmp_path / "listed" / "va.json"
    path.write_text(path.read_text().replace(',"made":7.0', ""))
    assert certified.holds("va", made.serial_number)
    assert certified.made("va") == 0.0
