"""Joining makes keys on site, pins what the token vouches for, and goes on where it was broken off."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from client import joining
from client.folder import InstitutionFolder
from client.joining import LARGEST_CA, fetch_ca, join
from client.link import open_link
from shared.certificates import load_certificate
from shared.enrolment import Connection, read_connection
from shared.errors import DeploymentError, IdentityError
from shared.identity import load_identity, load_roster, public_bytes
from shared.invitation import make_token
from shared.issuing import name_of
from shared.processes import free_port
from shared.rpc import enrolment_pb2 as pb
from shared.rpc.services import ENROLMENT
from tests.support.certificates import make_pair
from tests.support.opened import Opened, institution, make_coordinator, opened


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(make_coordinator(tmp_path_factory.mktemp("joining") / "coordinator")) as made:
        yield made


def test_all_is_made_pinned_and_private(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "va"
    found = coordinator.let_in("va", folder)
    home = InstitutionFolder(folder)
    assert read_connection(home.connection) == coordinator.connection
    assert load_certificate(home.ca) == load_certificate(coordinator.folder / "keys" / "ca.crt")
    assert name_of(load_certificate(home.certificate).subject) == "va"
    assert load_roster(folder / "roster.json").members["va"] == public_bytes(load_identity(folder / "keys" / "identity.key"))
    assert load_roster(folder / "roster.json").digest == found.roster.digest
    assert (coordinator.folder / "nodes" / "va.pub").read_text().split()[:2] == (folder / "keys" / "node.pub").read_text().split()[:2]
    private = [folder / "keys" / name for name in ("identity.key", "node", "client.key")]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in private)
    for path in coordinator.folder.rglob("*"):
        assert not path.is_file() or path.read_bytes() not in [one.read_bytes() for one in private]


def test_the_next_one_gets_a_roster_with_both(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("first", tmp_path / "first")
    found = coordinator.let_in("second", tmp_path / "second")
    assert {"first", "second"} <= set(found.roster.members)
    assert "second" not in load_roster(tmp_path / "first" / "roster.json").members, "the first one's operator decides"


def test_the_identity_may_be_encrypted(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    join(folder, coordinator.invite("locked"), institution("locked", folder), passphrase=b"four words of chance")
    pem = (folder / "keys" / "identity.key").read_bytes()
    with pytest.raises(TypeError):
        load_pem_private_key(pem, password=None)
    assert load_identity(folder / "keys" / "identity.key", passphrase=b"four words of chance")


def test_an_answer_that_was_lost_is_made_good_by_another_invitation(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "lost"
    coordinator.let_in("lost", folder)
    home, before = InstitutionFolder(folder), load_roster(coordinator.folder / "roster.json").digest
    for path in (home.certificate, home.ca, home.connection, folder / "roster.json"):
        path.unlink()
    coordinator.let_in("lost", folder)
    assert load_roster(coordinator.folder / "roster.json").digest == before
    with open_link(folder) as link:
        link.call(ENROLMENT, "Roster", pb.RosterRequest())


def test_the_folder_of_another_institution_is_left_alone(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    coordinator.let_in("mine", folder)
    with pytest.raises(IdentityError, match="the folder of 'mine', not of 'yours'"):
        join(folder, coordinator.invite("yours"), institution("yours", folder))


def kept(folder: Path) -> dict[str, bytes]:
    """What a member is known by and what it pins."""
    names = ("keys/node", "keys/node.pub", "keys/client.pem", "enrolment.json", "roster.json", "ca.crt", "coordinator.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_a_join_that_fails_leaves_a_member_as_it_works(coordinator: Opened, tmp_path: Path) -> None:
    """Its node key is the one that the coordinator has, until another one is let in."""
    folder = tmp_path / "working"
    coordinator.let_in("working", folder)
    before = kept(folder)
    unknown = make_token(coordinator.connection, coordinator.invite("somebody").ca_fingerprint)
    with pytest.raises(IdentityError, match="cannot be used"):
        join(folder, unknown, institution("working", folder))
    assert kept(folder) == before
    coordinator.let_in("working", folder)
    assert kept(folder)["keys/node"] != before["keys/node"]
    assert (coordinator.folder / "nodes" / "working.pub").read_bytes().split()[:2] == kept(folder)["keys/node.pub"].split()[:2]
    assert not list((folder / "keys").glob("node.new*"))


def test_another_federation_s_ca_is_not_pinned_over_the_first(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "settled"
    coordinator.let_in("settled", folder)
    before = kept(folder)
    with opened(make_coordinator(tmp_path / "other")) as other:
        with pytest.raises(IdentityError, match="another CA is pinned"):
            other.let_in("settled", folder)
        assert [found.name for found in other.membership.invited()] == ["settled"], "the invitation is not spent"
    assert kept(folder) == before


def test_nobody_there_and_no_coordinator_are_told_apart(coordinator: Opened) -> None:
    token = coordinator.invite("va")
    nobody = replace(token, connection=Connection(address=f"127.0.0.1:{free_port()}"))
    with pytest.raises(DeploymentError, match="does not answer"):
        fetch_ca(nobody)


@contextlib.contextmanager
def showing(tmp_path: Path, piece: bytes, wait_s: float, most: int, sent: list[int]) -> Iterator[Connection]:
    """Somebody who answers a request for the CA with ``most`` pieces of nothing; ``sent`` is how many were taken."""
    context, ended = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), threading.Event()
    context.load_cert_chain(*make_pair(tmp_path, "localhost"))

    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            plain, _ = listening.accept()
            with context.wrap_socket(plain, server_side=True) as talking:
                talking.recv(4096)
                talking.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while sent[0] < most and not ended.wait(wait_s):
                    talking.sendall(piece)
                    sent[0] += 1

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield Connection(address=f"127.0.0.1:{listening.getsockname()[1]}")
        ended.set()
        thread.join(10)


def test_a_ca_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    sent, most = [0], 2000
    with (
        showing(tmp_path, bytes(LARGEST_CA // 2), 0.0, most, sent) as connection,
        pytest.raises(IdentityError, match="no coordinator of fedstill's"),
    ):
        fetch_ca(make_token(connection, bytes(32)))
    assert sent[0] < most


def test_a_ca_that_drips_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "CA_S", 0.5)
    sent, most = [0], 200
    with (
        showing(tmp_path, b"x", 0.05, most, sent) as connection,
        pytest.raises(IdentityError, match="no coordinator of fedstill's"),
    ):
        fetch_ca(make_token(connection, bytes(32)))
    assert sent[0] < most
