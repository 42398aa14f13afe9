"""Which run is meant, who must be enrolled, and that a folder is checked before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store import Store
from server.supervise import CoordinatorService, ServiceOptions, choose_run, finished_artifact, read_nodes
from shared.errors import DeploymentError, FedstillError, IdentityError, MissingFileError, RunError
from shared.secagg.roster import Roster
from tests.support.small import make_federation

ROSTER = Roster(members={"va": bytes(32), "cl": bytes(32)}, coordinator=bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield made
    made.close()


def test_the_first_run_is_new(store: Store) -> None:
    assert choose_run(store, "heart", ServiceOptions()) == "heart-1"
    with pytest.raises(RunError, match="no unfinished run"):
        choose_run(store, "heart", ServiceOptions(resume=True))


@pytest.mark.parametrize("resume", [True, False])
def test_an_unfinished_run_goes_on(store: Store, resume: bool) -> None:
    store.start_run("heart-1", b"{}", b"")
    assert choose_run(store, "heart", ServiceOptions(resume=resume)) == "heart-1"


def test_after_a_finished_run_comes_another(store: Store) -> None:
    store.start_run("heart-1", b"{}", b"")
    with pytest.raises(RunError, match="--resume"):
        finished_artifact(store, "heart-1")
    store.finish_run("heart-1", "artifact")
    assert finished_artifact(store, "heart-1") == "artifact"
    assert choose_run(store, "heart", ServiceOptions()) == "heart-2"
    with pytest.raises(RunError, match="is finished"):
        choose_run(store, "heart", ServiceOptions(run="heart-1"))


def test_a_named_run(store: Store) -> None:
    assert choose_run(store, "heart", ServiceOptions(run="trial")) == "trial"
    with pytest.raises(RunError, match="no run 'trial'"):
        choose_run(store, "heart", ServiceOptions(run="trial", resume=True))


def test_every_member_needs_a_node_key(tmp_path: Path) -> None:
    (tmp_path / "va.pub").write_text("key of va")
    (tmp_path / "stranger.pub").write_text("key of a stranger")
    with pytest.raises(DeploymentError, match="node key of cl"):
        read_nodes(tmp_path, ROSTER, 2)
    (tmp_path / "cl.pub").write_text("key of cl")
    assert read_nodes(tmp_path, ROSTER, 2) == {"va": b"key of va", "cl": b"key of cl"}
    with pytest.raises(DeploymentError, match="3 are needed"):
        read_nodes(tmp_path, ROSTER, 3)


@pytest.mark.parametrize(
    ("remove", "error"),
    [
        ("federation.toml", MissingFileError),
        ("roster.json", MissingFileError),
        ("nodes/ash.pub", DeploymentError),
        ("keys/ca.crt", MissingFileError),
        ("keys/server.pem", MissingFileError),
        ("keys/server.key", MissingFileError),
        ("keys/identity.key", MissingFileError),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path, remove: str, error: type[FedstillError]) -> None:
    from server.provision import make_certificates

    folder = make_federation(tmp_path, 3).coordinator
    make_certificates(folder, "small", [])
    (folder / "nodes").mkdir()
    for name in ("ash", "birch", "cedar"):
        (folder / "nodes" / f"{name}.pub").write_text("a key")
    CoordinatorService(folder, ServiceOptions(), say=lambda _: None)
    (folder / remove).unlink()
    with pytest.raises(error):
        CoordinatorService(folder, ServiceOptions(), say=lambda _: None)


def test_a_server_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    from server.provision import make_certificates

    folder = make_federation(tmp_path, 3).coordinator
    make_certificates(folder, "small", [])
    (folder / "nodes").mkdir()
    for name in ("ash", "birch", "cedar"):
        (folder / "nodes" / f"{name}.pub").write_text("a key")
    (folder / "keys" / "server.key").chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600"):
        CoordinatorService(folder, ServiceOptions(), say=lambda _: None)


def test_who_was_revoked_or_has_another_key_has_left_the_run(tmp_path: Path) -> None:
    """What decides that a Flower run is stopped: a member less, or one that joined anew; not one more."""
    from server.provision import expel, keep_roster, make_certificates
    from shared.identity import load_roster

    folder = make_federation(tmp_path, 3).coordinator
    make_certificates(folder, "small", [])
    (folder / "nodes").mkdir()
    for name in ("ash", "birch", "cedar"):
        (folder / "nodes" / f"{name}.pub").write_text("a key")
    service = CoordinatorService(folder, ServiceOptions(), say=lambda _: None)
    before = load_roster(folder / "roster.json")
    keep_roster(folder, Roster(members={**before.members, "elm": bytes(32)}, coordinator=before.coordinator))
    assert service._left() == frozenset()
    keep_roster(folder, Roster(members={**before.members, "birch": bytes(32)}, coordinator=before.coordinator))
    assert service._left() == {"birch"}
    expel(folder, "ash")
    assert service._left() == {"ash", "birch"}
