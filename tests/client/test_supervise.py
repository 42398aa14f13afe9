"""The institution's commands dial out only, and whoever answers must prove itself to the pinned CA."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
from flwr.common.config import parse_config_args

from client.supervise import InstitutionFolder, InstitutionService, probe, supernode, worker
from shared.certificates import make_authority, make_server_certificate
from shared.enrolment import Connection
from shared.errors import FedstillError, IdentityError, MissingFileError
from tests.support.small import make_federation


@contextmanager
def tls_server(keys: Path) -> Iterator[Connection]:
    """Answers TLS handshakes on loopback with the certificate in ``keys``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.pem", keys / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            try:
                plain, _ = listener.accept()
                plain.settimeout(10)
                with plain, context.wrap_socket(plain, server_side=True):
                    pass
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Connection(address=f"127.0.0.1:{listener.getsockname()[1]}")
        finally:
            thread.join(15)


def test_the_pinned_authority_is_believed_and_another_is_not(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        make_server_certificate(tmp_path / name, make_authority(tmp_path / name, name=name), [])
    with tls_server(tmp_path / "ours") as connection:
        assert probe(connection, tmp_path / "ours" / "ca.crt")
    with tls_server(tmp_path / "theirs") as connection, pytest.raises(IdentityError, match="does not prove itself"):
        probe(connection, tmp_path / "ours" / "ca.crt")


def test_nobody_there_is_not_an_error(tmp_path: Path) -> None:
    make_authority(tmp_path, name="ours")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert not probe(Connection(address=f"127.0.0.1:{held.getsockname()[1]}"), tmp_path / "ca.crt")


def test_the_supernode_dials_out_and_listens_on_loopback_only(tmp_path: Path) -> None:
    command = supernode(InstitutionFolder(tmp_path), Connection(address="fl.example.org:8443"), 4711)
    words = command.arguments
    assert words[words.index("--superlink") + 1] == "fl.example.org:8443"
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--isolation") + 1] == "process"
    assert "--insecure" not in words
    assert {"-P", "--root-certificates", "--auth-supernode-private-key", "--superexec-auth-secret-file"} <= set(words)


def test_the_worker_has_its_threads_and_no_code_from_here(tmp_path: Path) -> None:
    command = worker(InstitutionFolder(tmp_path), 4711, 3)
    assert command.environment["OMP_NUM_THREADS"] == "3"
    assert command.environment["PYTHONSAFEPATH"] == "1"
    assert "-P" in command.arguments


@pytest.mark.parametrize("name", ["plain", "with space", "o'hara", 'a "quoted" one', "tab\tand=equals", "Krankenhaus Süd", "x.toml"])
def test_any_folder_reaches_the_app_whole(tmp_path: Path, name: str) -> None:
    """Flower's own command line syntax cannot quote all of these, so the folder goes through a file."""
    home = InstitutionFolder(tmp_path / name)
    home.flower.mkdir(parents=True)
    home.node_config.write_text(tomli_w.dumps({"institution-dir": str(home.folder)}))
    assert parse_config_args([str(home.node_config)]) == {"institution-dir": str(home.folder)}


@pytest.mark.parametrize("missing", ["institution.toml", "keys/identity.key", "keys/node", "roster.json", "ca.crt", "coordinator.json"])
def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path, missing: str) -> None:
    folder = ready(tmp_path)
    InstitutionService(folder, say=lambda _: None)
    (folder / missing).unlink()
    with pytest.raises(MissingFileError, match=missing.rpartition("/")[2].replace(".", r"\.")):
        InstitutionService(folder, say=lambda _: None)


def test_an_identity_that_the_roster_does_not_know_is_refused(tmp_path: Path) -> None:
    from shared.identity import make_identity

    folder = ready(tmp_path)
    (folder / "keys" / "identity.key").unlink()
    make_identity(folder / "keys" / "identity.key")
    with pytest.raises(FedstillError, match="enrol again"):
        InstitutionService(folder, say=lambda _: None)


def ready(tmp_path: Path) -> Path:
    """An institution's folder with all that the service needs."""
    from shared.enrolment import write_connection
    from shared.identity import make_node_key

    folder = make_federation(tmp_path, 3).institutions["ash"]
    make_node_key(folder / "keys" / "node")
    make_authority(tmp_path / "authority", name="small")
    (folder / "ca.crt").write_bytes((tmp_path / "authority" / "ca.crt").read_bytes())
    write_connection(folder / "coordinator.json", Connection(address="127.0.0.1:1"))
    return folder
