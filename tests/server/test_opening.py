"""The door opens only for a folder that is whole, and once."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from server.frontage import Frontage
from server.opening import OpenDoor
from shared.errors import DeploymentError, FedstillError, IdentityError, MissingFileError
from shared.processes import only_one
from tests.support.opened import make_coordinator


@pytest.mark.parametrize(
    ("remove", "error"),
    [
        ("federation.toml", MissingFileError),
        ("roster.json", MissingFileError),
        ("keys/ca.crt", MissingFileError),
        ("keys/server.pem", MissingFileError),
        ("keys/server.key", MissingFileError),
        ("keys/identity.key", MissingFileError),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path, remove: str, error: type[FedstillError]) -> None:
    folder = make_coordinator(tmp_path)
    OpenDoor(folder, "127.0.0.1", 8443, say=lambda _: None)
    (folder / remove).unlink()
    with pytest.raises(error):
        OpenDoor(folder, "127.0.0.1", 8443, say=lambda _: None)


def test_an_identity_that_institutions_have_not_pinned_is_refused(tmp_path: Path) -> None:
    from shared.identity import make_identity

    folder = make_coordinator(tmp_path)
    (folder / "keys" / "identity.key").unlink()
    make_identity(folder / "keys" / "identity.key")
    with pytest.raises(IdentityError, match="another coordinator key"):
        OpenDoor(folder, "127.0.0.1", 8443, say=lambda _: None)


def test_a_taken_port_and_a_running_coordinator_are_said(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DeploymentError, match="cannot listen on"):
        OpenDoor(folder, "127.0.0.1", taken.getsockname()[1], say=lambda _: None).serve()
    with only_one(folder / "flower" / "lock", what="a coordinator"), pytest.raises(DeploymentError, match="a coordinator runs already"):
        OpenDoor(folder, "127.0.0.1", 8443, say=lambda _: None).serve()


def test_a_taken_port_of_the_metrics_is_said(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DeploymentError, match="--metrics-port"):
        OpenDoor(folder, "127.0.0.1", 8443, say=lambda _: None, metrics_port=taken.getsockname()[1]).serve()


def test_a_full_disk_at_a_renewal_is_said_and_closes_no_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Frontage) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    said: list[str] = []
    monkeypatch.setattr(Frontage, "renew", full)
    OpenDoor(make_coordinator(tmp_path), "127.0.0.1", 8443, say=said.append)._renew()
    assert "will be tried again" in said[0]
    assert "No space left" in said[0]
