"""An invitation holds once, for a while, for one name, and its file lets nobody in."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.invitations import MOST_ATTEMPTS, Invitations, lifetime
from shared.enrolment import Connection
from shared.errors import IdentityError
from shared.invitation import make_token

NOW = 1_900_000_000.0


def token_key() -> bytes:
    return make_token(Connection(address="fl.example.org:8443"), bytes(32)).public


def test_an_invitation_is_found_until_it_ends(tmp_path: Path) -> None:
    invitations, public = Invitations(tmp_path), token_key()
    invitations.add("va", public, NOW + 60)
    found = invitations.find(public, now=NOW + 59)
    assert found is not None
    assert found.name == "va"
    assert invitations.find(token_key(), now=NOW) is None
    assert invitations.find(public, now=NOW + 60) is None
    assert not list(tmp_path.iterdir()), "what has ended is removed"


def test_what_lies_on_disk_is_its_owner_s_and_not_the_secret(tmp_path: Path) -> None:
    token = make_token(Connection(address="fl.example.org:8443"), bytes(32))
    Invitations(tmp_path).add("va", token.public, NOW)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert token.seed not in content
    assert token.seed.hex().encode() not in content


def test_a_new_invitation_ends_the_one_before(tmp_path: Path) -> None:
    invitations, first, second, other = Invitations(tmp_path), token_key(), token_key(), token_key()
    for name, public in (("va", first), ("cl", other), ("va", second)):
        invitations.add(name, public, NOW + 60)
    assert invitations.find(first, now=NOW) is None
    assert [found.name for found in invitations.open(now=NOW)] == ["cl", "va"]
    assert (invitations.remove_for("va"), invitations.remove_for("va")) == (1, 0)
    assert [found.name for found in invitations.open(now=NOW)] == ["cl"]


def test_asking_whether_one_is_known_changes_nothing(tmp_path: Path) -> None:
    """Whoever asks holds no lock; that it has expired is found out by who does."""
    invitations, public = Invitations(tmp_path), token_key()
    invitations.add("va", public, 1.0)
    assert invitations.known(public)
    assert not invitations.known(token_key())
    assert not invitations.known(b"")
    assert len(list(tmp_path.iterdir())) == 1


def test_proofs_in_vain_are_counted_and_end_it(tmp_path: Path) -> None:
    invitations, public = Invitations(tmp_path), token_key()
    invitations.add("va", public, NOW + 60)
    for _ in range(MOST_ATTEMPTS):
        found = invitations.find(public, now=NOW)
        assert found is not None
        invitations.tried_in_vain(found)
    assert invitations.find(public, now=NOW) is None


def test_a_damaged_file_is_no_invitation(tmp_path: Path) -> None:
    invitations, public = Invitations(tmp_path), token_key()
    invitations.add("va", public, NOW + 60)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"{")
    assert invitations.find(public, now=NOW) is None
    assert invitations.open(now=NOW) == ()


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86_400), ("90m", 5_400), ("7d", 604_800), ("30s", 30)])
def test_times_are_read(text: str, seconds: int) -> None:
    assert lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "24", "1w", "-1h", "1.5h", "0s", "31d", "٣h", "9999999999h", "1 h"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(IdentityError, match="invitation holds"):
        lifetime(text)
