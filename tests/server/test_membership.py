"""Who is a member is one folder's affair: invited, in, renewed, out, and every change written down without a secret."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from server.audit import CoordinatorAudit
from server.invitations import MOST_ATTEMPTS
from server.membership import RENEW_S, Membership, NotInvitedError, peer_of
from server.provision import UnfitError
from server.site import CoordinatorSite
from shared.client_certificates import make_request
from shared.enrolment import Connection, make_enrolment
from shared.errors import ConfigError, IdentityError, MissingFileError, ResourceError
from shared.identity import load_roster, make_identity, make_node_key
from shared.invitation import Token, prove
from tests.support.certificates import make_pair
from tests.support.opened import make_coordinator

WHERE = Connection(address="fl.example.org:8443")
NOW = 2_000_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_coordinator(tmp_path / "coordinator")


def join(folder: Path, token: Token, name: str, keys: Path, *, now: float | None = None) -> x509.Certificate:
    enrolment = make_enrolment(name, make_identity(keys / "identity.key"), make_node_key(keys / "node")).canonical()
    request = make_request(ec.generate_private_key(ec.SECP256R1()), name)
    pem, _ = Membership(folder).join(token.public, enrolment, request, prove(token, enrolment, request), now=now)
    return x509.load_pem_x509_certificate(pem)


def new_request(name: str = "va") -> bytes:
    return make_request(ec.generate_private_key(ec.SECP256R1()), name)


def events(folder: Path) -> list[str]:
    return [entry.fields["event"] for entry in CoordinatorAudit(CoordinatorSite(folder)).entries() if entry.kind == "membership"]


def broken(*_: object, **__: object) -> None:
    raise ResourceError("the disk is full")


def test_from_invited_to_revoked(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fedstill.membership")
    membership = Membership(folder)
    token = membership.invite("va", WHERE, 60.0)
    assert [found.name for found in membership.invited()] == ["va"]
    certificate = join(folder, token, "va", tmp_path)
    assert membership.invited() == ()
    assert [(one.name, one.until) for one in membership.members()] == [("va", certificate.not_valid_after_utc.timestamp())]
    peer = peer_of(certificate.public_bytes(Encoding.PEM))
    assert peer == ("va", certificate.serial_number)
    assert membership.admits(*peer)
    renewed = x509.load_pem_x509_certificate(membership.renew("va", new_request(), now=time.time() + RENEW_S))
    assert membership.admits("va", renewed.serial_number)
    assert membership.admits(*peer), "until the answer has arrived the old one holds, too"
    assert membership.revoke("va").members == {}
    assert not membership.admits("va", renewed.serial_number)
    assert not (folder / "nodes" / "va.pub").exists()
    assert [record.getMessage().split()[:2] for record in caplog.records] == [
        [word, "va"] for word in ("invited", "joined", "renewed", "revoked")
    ]


def test_every_roster_that_there_was_is_kept(folder: Path, tmp_path: Path) -> None:
    membership, digests = Membership(folder), [load_roster(folder / "roster.json").digest]
    for name in ("va", "cl"):
        join(folder, membership.invite(name, WHERE, 60.0), name, tmp_path / name)
        digests.append(load_roster(folder / "roster.json").digest)
    membership.revoke("va")
    digests.append(load_roster(folder / "roster.json").digest)
    assert {path.stem for path in (folder / "rosters").iterdir()} == {digest.hex() for digest in digests}
    assert all(load_roster(folder / "rosters" / f"{digest.hex()}.json").digest == digest for digest in digests)


def test_an_invitation_ends_with_its_time(folder: Path, tmp_path: Path) -> None:
    token = Membership(folder).invite("va", WHERE, 60.0, now=NOW)
    with pytest.raises(NotInvitedError):
        join(folder, token, "va", tmp_path, now=NOW + 61)


def test_who_is_not_a_member_is_neither_renewed_nor_revoked(folder: Path) -> None:
    with pytest.raises(NotInvitedError):
        Membership(folder).renew("va", new_request())
    with pytest.raises(IdentityError, match="no institution 'va' on the roster; there are: none"):
        Membership(folder).revoke("va")


def test_a_certificate_without_one_plain_name_is_nobody_s(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, "localhost")
    assert peer_of(certificate.read_bytes()) is not None
    assert peer_of(b"nonsense") is None
    assert peer_of(b"") is None


def test_the_audit_says_who_came_and_went_and_strangers_cannot_fill_it(folder: Path, tmp_path: Path) -> None:
    membership = Membership(folder)
    join(folder, membership.invite("va", WHERE, 60.0), "va", tmp_path)
    with pytest.raises(NotInvitedError):
        membership.join(b"\0" * 32, b"{}", b"", b"")
    membership.revoke("va")
    entries = CoordinatorAudit(CoordinatorSite(folder)).entries()
    assert [entry.fields["event"] for entry in entries if entry.kind == "membership"] == ["invited", "joined", "revoked"]
    assert [(entry.fields["enrolled"], entry.fields["removed"]) for entry in entries if entry.kind == "roster"][-2:] == [
        (["va"], []),
        ([], ["va"]),
    ]


def test_an_invitation_of_nobody_enrolled_can_be_withdrawn(folder: Path, tmp_path: Path) -> None:
    membership = Membership(folder)
    token = membership.invite("va", WHERE, 60.0)
    before = load_roster(folder / "roster.json").digest
    assert membership.revoke("va").digest == before
    with pytest.raises(NotInvitedError):
        join(folder, token, "va", tmp_path)
    assert events(folder)[:2] == ["invited", "revoked"]
    with pytest.raises(IdentityError, match="no institution 'va'"):
        membership.revoke("va")


@pytest.mark.parametrize("name", ["../../roster", "", "VA", "a/b"])
def test_what_is_no_name_is_not_looked_for_among_files(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the institution to revoke"):
        Membership(folder).revoke(name)
    assert (folder / "roster.json").exists()


@pytest.mark.parametrize("step", ["server.membership.expel", "server.provision.write_atomic", "server.provision.save_roster"])
def test_revoking_that_was_broken_off_has_taken_the_certificate_and_goes_to_its_end(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    membership = Membership(folder)
    certificate = join(folder, membership.invite("va", WHERE, 60.0), "va", tmp_path)
    membership.invite("va", WHERE, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(step, broken)
        with pytest.raises(ResourceError):
            membership.revoke("va")
    assert not membership.admits("va", certificate.serial_number)
    assert membership.invited() == ()
    for _ in range(2):
        assert membership.revoke("va").members == {}
    assert not (folder / "nodes" / "va.pub").exists()
    assert events(folder)[-1] == "revoked"


def test_a_certificate_is_renewed_once_a_minute_at_most(folder: Path, tmp_path: Path) -> None:
    """Each is a line of the audit, which a member must not be able to fill."""
    membership = Membership(folder)
    join(folder, membership.invite("va", WHERE, 60.0, now=NOW), "va", tmp_path, now=NOW)
    for moment in (NOW, NOW + RENEW_S - 1):
        with pytest.raises(UnfitError, match="less than 60 s ago"):
            membership.renew("va", new_request(), now=moment)
    membership.renew("va", new_request(), now=NOW + RENEW_S)
    with pytest.raises(UnfitError, match="less than 60 s ago"):
        membership.renew("va", new_request(), now=NOW + RENEW_S + 1)
    membership.renew("va", new_request(), now=NOW - 3600)  # a clock that was set back keeps nobody out
    assert events(folder).count("renewed") == 2


def test_another_name_is_borne_a_few_times_only(folder: Path, tmp_path: Path) -> None:
    """Each is a line of the audit, too."""
    token = Membership(folder).invite("va", WHERE, 60.0)
    for number in range(MOST_ATTEMPTS):
        with pytest.raises(UnfitError, match="for 'va', not for 'cl'"):
            join(folder, token, "cl", tmp_path / str(number))
    with pytest.raises(NotInvitedError):
        join(folder, token, "va", tmp_path / "va")
    assert events(folder) == ["invited", *["refused"] * MOST_ATTEMPTS]


def test_the_ca_s_key_is_not_read_for_who_proves_nothing(folder: Path, tmp_path: Path) -> None:
    membership = Membership(folder)
    token = membership.invite("va", WHERE, 60.0)
    (folder / "keys" / "ca.key").unlink()
    with pytest.raises(NotInvitedError):
        membership.join(token.public, b"{}", b"", b"")
    with pytest.raises(MissingFileError):
        join(folder, token, "va", tmp_path)


def test_a_join_that_could_not_be_written_down_leaves_its_invitation(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    membership = Membership(folder)
    token = membership.invite("va", WHERE, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(CoordinatorAudit, "membership", broken)
        with pytest.raises(ResourceError):
            join(folder, token, "va", tmp_path / "first")
    assert [found.name for found in membership.invited()] == ["va"]
    assert events(folder) == ["invited"]


def test_what_is_wrong_with_the_coordinator_s_own_roster_is_not_for_who_joins(folder: Path, tmp_path: Path) -> None:
    token = Membership(folder).invite("va", WHERE, 60.0)
    (folder / "roster.json").write_text("{}")
    with pytest.raises(IdentityError) as caught:
        join(folder, token, "va", tmp_path)
    assert not isinstance(caught.value, UnfitError | NotInvitedError)
