"""Which run is meant, who must be enrolled, and that a folder is checked before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from server.control import Control, RunStatus
from server.store import Store
from server.supervise import (
    KEEP_UP_S,
    MOST_FAILURES,
    RENEWAL_S,
    CoordinatorService,
    ServiceOptions,
    choose_run,
    finished_artifact,
    read_nodes,
)
from shared.errors import DeploymentError, FedstillError, IdentityError, MissingFileError, ResourceError, RunError
from shared.processes import Ended, StopSignals
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


def make_service(tmp_path: Path, said: list[str]) -> CoordinatorService:
    """The service of a small federation, with nothing started."""
    from server.provision import make_certificates

    folder = make_federation(tmp_path, 3).coordinator
    make_certificates(folder, "small", [])
    (folder / "nodes").mkdir()
    for name in ("ash", "birch", "cedar"):
        (folder / "nodes" / f"{name}.pub").write_text("a key")
    return CoordinatorService(folder, ServiceOptions(), say=said.append)


def test_who_was_revoked_or_has_another_key_has_left_the_run(tmp_path: Path) -> None:
    """What decides that a Flower run is stopped: a member less, or one that joined anew; not one more."""
    from server.provision import expel, keep_roster
    from shared.identity import load_roster

    service, folder = make_service(tmp_path, []), tmp_path / "coordinator"
    before = load_roster(folder / "roster.json")
    keep_roster(folder, Roster(members={**before.members, "elm": bytes(32)}, coordinator=before.coordinator))
    assert service._left() == frozenset()
    keep_roster(folder, Roster(members={**before.members, "birch": bytes(32)}, coordinator=before.coordinator))
    assert service._left() == {"birch"}
    expel(folder, "ash")
    assert service._left() == {"ash", "birch"}


class Link:
    """A connection to a SuperLink that answers what the test says, and fails where it says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failures: list[Exception] = []
        self.finished = False

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.failures:
            raise self.failures.pop()

    def register(self, nodes: dict[str, bytes], tell: Callable[[str], None]) -> tuple[str, ...]:
        self._answer(f"register {len(nodes)}")
        return ()

    def online(self) -> frozenset[str]:
        return frozenset({"ash", "stranger"})

    def status(self, number: int) -> RunStatus:
        return RunStatus(self.finished, False, "stopped")

    def stop(self, number: int) -> None:
        self._answer("stop")


def keep_up(service: CoordinatorService, link: Link) -> None:
    service._kept_up = -KEEP_UP_S
    service._keep_up(cast("Control", link))


def test_a_roster_that_cannot_be_read_or_registered_is_looked_at_again(tmp_path: Path) -> None:
    said: list[str] = []
    service, folder, link = make_service(tmp_path, said), tmp_path / "coordinator", Link()
    (folder / "nodes" / "ash.pub").rename(folder / "nodes" / "ash.kept")
    for _ in range(3):
        keep_up(service, link)
    assert len(said) == 1, "the same trouble is said once"
    assert "no node key of ash" in said[0]
    (folder / "nodes" / "ash.kept").write_text("another key")
    (folder / "nodes" / "ash.kept").rename(folder / "nodes" / "ash.pub")
    link.failures = [DeploymentError("SuperLink is away"), OSError("no more files")]
    for _ in range(4):
        keep_up(service, link)
    assert link.asked == ["register 3"] * 3
    assert [line.removeprefix("will try again: ") for line in said[1:]] == ["no more files", "SuperLink is away"]


def test_a_console_that_keeps_ending_ends_no_run(tmp_path: Path) -> None:
    said: list[str] = []
    service = make_service(tmp_path, said)
    for failures in range(1, 3 * MOST_FAILURES):
        service._explain(Ended("console", 1, failures))
    assert len(said) == MOST_FAILURES
    with pytest.raises(DeploymentError, match="api ended"):
        service._explain(Ended("api", 1, MOST_FAILURES))


def test_who_is_here_is_known_while_a_run_is_on(tmp_path: Path) -> None:
    from shared.service import read_status

    service = make_service(tmp_path, [])
    keep_up(service, Link())
    with StopSignals() as stop:
        service._look("running", stop, run="small-1")
    assert read_status(tmp_path / "coordinator" / "flower" / "status.json").online == ("ash",), "members, and nobody else"


def test_a_certificate_that_cannot_be_renewed_yet_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    service = make_service(tmp_path, said)

    def full() -> bool:
        raise ResourceError("the disk is full")

    monkeypatch.setattr(service._frontage, "renew", full)
    service._renewed = -RENEWAL_S
    keep_up(service, Link())
    assert said == ["will try again: the disk is full"]


def test_a_run_that_cannot_be_stopped_yet_is_stopped_at_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.provision import expel

    said: list[str] = []
    service, link = make_service(tmp_path, said), Link()
    monkeypatch.setattr("server.supervise.LOOK_S", 0.0)
    expel(tmp_path / "coordinator", "ash")
    link.failures = [DeploymentError("SuperLink is away")]
    with StopSignals() as stop:
        assert service._follow(cast("Control", link), "trial", 1, stop) == "an institution was revoked"
    assert link.asked == ["stop", "stop"]
    assert said == ["will try again: SuperLink is away"]


def test_a_run_whose_executor_has_ended_is_stopped_at_once_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    service, link = make_service(tmp_path, said), Link()
    monkeypatch.setattr("server.supervise.LOOK_S", 0.0)
    monkeypatch.setattr(service._supervisor, "tend", lambda: [Ended("executor", -9, 1)])
    link.failures = [DeploymentError("SuperLink is away")]
    with StopSignals() as stop:
        assert service._follow(cast("Control", link), "trial", 1, stop) == "the executor ended"
    assert link.asked == ["stop", "stop"]
    assert said[0] == "executor ended (code -9); starting it again"


def test_another_process_that_ends_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, link = make_service(tmp_path, []), Link()
    monkeypatch.setattr("server.supervise.LOOK_S", 0.0)

    def gateway_ends() -> list[Ended]:
        link.finished = len(link.asked) == 0
        return [Ended("gateway", -9, 1)]

    monkeypatch.setattr(service._supervisor, "tend", gateway_ends)
    with StopSignals() as stop:
        assert service._follow(cast("Control", link), "trial", 1, stop) == "stopped"
    assert link.asked == []


def test_a_roster_that_cannot_be_read_says_nothing_of_who_has_left(tmp_path: Path) -> None:
    said: list[str] = []
    service = make_service(tmp_path, said)
    (tmp_path / "coordinator" / "roster.json").write_text("{")
    assert service._left() == frozenset()
    assert len(said) == 1
