"""Plans come signed, events as they happen, artifacts whole: over the wire, broken off, and from a coordinator that lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.link import Link, open_link
from client.runs import MOST_FILES, MOST_TRIES, fetch_artifact, fetch_plan, list_runs, watch
from server.artifacts_service import CHUNK
from server.callers import MOST_STREAMS
from server.events import InstitutionRefused, PhaseStarted, RunFinished
from server.site import PLAN_FILE, CoordinatorSite
from shared.enrolment import Connection
from shared.errors import ArtifactError, DeploymentError, IdentityError, PolicyRefusal
from shared.files import write_atomic
from shared.identity import make_identity
from shared.rpc import artifacts_pb2 as pb
from shared.rpc.services import ARTIFACTS
from shared.signed import make_plan, sign_plan
from tests.support.opened import Opened, make_coordinator, opened

LARGE = bytes(range(256)) * (3 * CHUNK // 256) + b"end"


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = make_coordinator(tmp_path_factory.mktemp("runs") / "coordinator")
    site = CoordinatorSite(folder)
    for run in ("trial-1", "trial-2"):
        site.store.start_run(run, site.config.canonical(), site.roster.digest)
        write_atomic(site.run_folder(run) / PLAN_FILE, sign_plan(make_plan(run, site.config, site.roster), site.identity).canonical())
    artifact = site.run_folder("trial-1") / "artifact"
    for name, content in (("manifest.json", b"{}"), ("student.onnx", LARGE), ("empty", b"")):
        write_atomic(artifact / name, content)
    (artifact / "link").symlink_to(folder / "keys" / "ca.key")
    site.store.add_event("trial-1", 1.0, PhaseStarted(phase="train"))
    site.store.add_event("trial-1", 2.0, InstitutionRefused(number=1, institution="va", stage="train", code="PolicyRefusal", reason="no"))
    site.store.finish_run("trial-1", "artifact")
    site.store.close()
    with opened(folder) as made:
        for name in ("va", "cl"):
            made.let_in(name, folder.parent / name)
        yield made


@pytest.fixture
def va(coordinator: Opened) -> Iterator[Link]:
    with open_link(coordinator.folder.parent / "va") as link:
        yield link


def home(coordinator: Opened) -> Path:
    return coordinator.folder.parent / "va"


@pytest.mark.parametrize("after", [2**63 - 1, 2**63, 2**64 - 1])
def test_events_after_any_number_are_none(va: Link, after: int) -> None:
    assert list(watch(va, "trial-1", after)) == []


def test_runs_are_listed_and_their_plan_is_the_coordinator_s(coordinator: Opened, va: Link) -> None:
    assert list_runs(va) == (("trial-1", "finished"), ("trial-2", "running"))
    plan = fetch_plan(va, home(coordinator), "trial-1")
    assert plan.run == "trial-1"
    assert plan.settings["name"] == "small"
    with pytest.raises(DeploymentError, match="no plan of a run 'trial-9' yet"):
        fetch_plan(va, home(coordinator), "trial-9")


def test_a_plan_that_another_signed_or_of_another_run_is_refused(coordinator: Opened, va: Link, tmp_path: Path) -> None:
    site = CoordinatorSite(coordinator.folder)
    path = site.run_folder("trial-2") / PLAN_FILE
    genuine = path.read_bytes()
    try:
        forged = sign_plan(make_plan("trial-2", site.config, site.roster), make_identity(tmp_path / "mallory.key"))
        path.write_bytes(forged.canonical())
        with pytest.raises(IdentityError, match="not signed by the coordinator"):
            fetch_plan(va, home(coordinator), "trial-2")
        path.write_bytes((site.run_folder("trial-1") / PLAN_FILE).read_bytes())
        with pytest.raises(IdentityError, match="plan of another run"):
            fetch_plan(va, home(coordinator), "trial-2")
    finally:
        path.write_bytes(genuine)


def test_each_sees_the_events_that_are_for_it_and_goes_on_after_any(coordinator: Opened, va: Link) -> None:
    seen = list(watch(va, "trial-1"))
    assert [json.loads(event)["kind"] for _, _, event in seen] == ["phase-started", "institution-refused"]
    assert [moment for _, moment, _ in seen] == [1.0, 2.0]
    assert list(watch(va, "trial-1", after=seen[0][0])) == seen[1:]
    with open_link(coordinator.folder.parent / "cl") as other:
        assert [json.loads(event)["kind"] for _, _, event in watch(other, "trial-1")] == ["phase-started"]


def test_events_come_as_they_happen_until_the_run_is_over(coordinator: Opened, va: Link) -> None:
    store = CoordinatorSite(coordinator.folder).store
    run = "trial-3"
    store.start_run(run, b"{}", bytes(32))
    store.add_event(run, 1.0, PhaseStarted(phase="train"))
    following = watch(va, run)
    assert json.loads(next(following)[2])["phase"] == "train"
    store.add_event(run, 2.0, PhaseStarted(phase="publish"))
    assert json.loads(next(following)[2])["phase"] == "publish"
    store.add_event(run, 3.0, RunFinished(run=run, artifact="/srv/x"))
    store.finish_run(run, "artifact")
    assert [json.loads(event)["artifact"] for _, _, event in following] == [""]
    store.close()


def test_a_watcher_who_is_revoked_is_cut_off(coordinator: Opened) -> None:
    folder = coordinator.folder.parent / "watcher"
    coordinator.let_in("watcher", folder)
    store = CoordinatorSite(coordinator.folder).store
    store.add_event("trial-2", 1.0, PhaseStarted(phase="train"))
    store.close()
    with open_link(folder) as link:
        following = watch(link, "trial-2")
        next(following)
        coordinator.membership.revoke("watcher")
        with pytest.raises(IdentityError, match="not in force"):
            next(following)


def test_one_institution_cannot_take_all_streams(coordinator: Opened) -> None:
    folder = coordinator.folder.parent / "greedy"
    coordinator.let_in("greedy", folder)
    store = CoordinatorSite(coordinator.folder).store
    store.start_run("trial-4", b"{}", bytes(32))
    store.add_event("trial-4", 1.0, PhaseStarted(phase="train"))
    store.close()
    with open_link(folder) as link:
        held = [watch(link, "trial-4") for _ in range(MOST_STREAMS)]
        for one in held:
            next(one)
        with pytest.raises(PolicyRefusal, match=f"at most {MOST_STREAMS} streams"):
            next(watch(link, "trial-4"))
        with open_link(coordinator.folder.parent / "cl") as other:
            next(watch(other, "trial-4"))


def test_an_artifact_comes_whole_and_nothing_beside_it(va: Link, tmp_path: Path) -> None:
    files = fetch_artifact(va, "trial-1", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in files} == {"manifest.json": b"{}", "student.onnx": LARGE, "empty": b""}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json", "student.onnx", "empty"}


def test_what_was_begun_goes_on_where_it_stopped(va: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = Link.stream

    def noting(link: Link, service: Any, method: str, request: Any, **rest: Any) -> Iterator[Any]:
        asked.append(request.offset)
        return plain(link, service, method, request, **rest)

    monkeypatch.setattr(Link, "stream", noting)
    (tmp_path / ".student.onnx.part").write_bytes(LARGE[: CHUNK + 7])
    fetch_artifact(va, "trial-1", tmp_path)
    assert (tmp_path / "student.onnx").read_bytes() == LARGE
    assert CHUNK + 7 in asked
    asked.clear()
    fetch_artifact(va, "trial-1", tmp_path)
    assert asked == [], "what is there is not fetched again"


def test_remains_of_another_artifact_are_found_out(va: Link, tmp_path: Path) -> None:
    (tmp_path / ".student.onnx.part").write_bytes(b"another" + LARGE[7:-5])
    with pytest.raises(ArtifactError, match="another digest"):
        fetch_artifact(va, "trial-1", tmp_path)
    assert not (tmp_path / "student.onnx").exists()
    fetch_artifact(va, "trial-1", tmp_path)
    assert (tmp_path / "student.onnx").read_bytes() == LARGE


@pytest.mark.parametrize("run", ["trial-2", "trial-9", "", "..", "../keys", "trial-1/../../keys"])
def test_an_unfinished_or_made_up_run_has_no_artifact(va: Link, tmp_path: Path, run: str) -> None:
    with pytest.raises(DeploymentError, match="no finished run"):
        fetch_artifact(va, run, tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "link", "../student.safetensors", "../../../keys/ca.key", "/etc/passwd", "manifest.json/"])
def test_only_the_artifact_s_own_files_are_given(va: Link, name: str) -> None:
    with pytest.raises(DeploymentError, match="no file of that name"):
        list(va.stream(ARTIFACTS, "Download", pb.DownloadRequest(run="trial-1", name=name)))


def test_beyond_its_end_there_is_nothing(va: Link) -> None:
    with pytest.raises(DeploymentError, match="begin again"):
        list(va.stream(ARTIFACTS, "Download", pb.DownloadRequest(run="trial-1", name="manifest.json", offset=3)))
    assert list(va.stream(ARTIFACTS, "Download", pb.DownloadRequest(run="trial-1", name="manifest.json", offset=2))) == []


class Liar(Link):
    """A coordinator that says what it is told to say."""

    def __new__(cls, *_: object) -> Liar:
        return object.__new__(cls)

    def __init__(self, files: list[pb.ArtifactFile], chunks: list[Any]) -> None:
        super().__init__(None, Connection(address="fl.example.org:8443"))
        object.__setattr__(self, "files", files)
        object.__setattr__(self, "chunks", chunks)

    def call(self, service: Any, method: str, request: Any, *, timeout: float = 0.0) -> Any:
        return pb.ListArtifactReply(files=self.files)  # type: ignore[attr-defined]

    def stream(self, service: Any, method: str, request: Any, *, timeout: float | None = None) -> Iterator[Any]:
        for chunk in self.chunks:  # type: ignore[attr-defined]
            if isinstance(chunk, Exception):
                raise chunk
            yield pb.Chunk(content=chunk)


def announced(name: str, content: bytes) -> pb.ArtifactFile:
    return pb.ArtifactFile(name=name, size=len(content), sha256=hashlib.sha256(content).digest())


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", "x\0", "x\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="no artifact has"):
        fetch_artifact(Liar([announced(name, b"x")], [b"x"]), "trial-1", tmp_path / "out")
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def test_more_than_was_announced_is_not_kept(tmp_path: Path) -> None:
    for chunks in ([b"xyz"], [b"x", b"y", b"z"]):
        with pytest.raises(ArtifactError, match="larger than was announced"):
            fetch_artifact(Liar([announced("a", b"xy")], chunks), "trial-1", tmp_path)
    assert not (tmp_path / "a").exists()


def test_less_than_was_announced_ends(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="ends before its 2 bytes"):
        fetch_artifact(Liar([announced("a", b"xy")], []), "trial-1", tmp_path)


def test_too_many_files_or_two_of_a_name_are_refused(tmp_path: Path) -> None:
    for files in ([announced("a", b"")] * 2, [announced(f"a{number}", b"") for number in range(MOST_FILES + 1)]):
        with pytest.raises(ArtifactError, match="none of fedstill's"):
            fetch_artifact(Liar(files, []), "trial-1", tmp_path)


def test_a_line_that_breaks_is_tried_again_and_not_for_ever(tmp_path: Path) -> None:
    waits: list[float] = []
    gone = DeploymentError("gone")
    with pytest.raises(DeploymentError, match="gone"):
        fetch_artifact(Liar([announced("a", b"xy")], [gone]), "trial-1", tmp_path, wait=waits.append)
    assert len(waits) == MOST_TRIES - 1
    fetch_artifact(Liar([announced("b", b"xxx")], [b"x", gone]), "trial-1", tmp_path, wait=waits.append)
    assert (tmp_path / "b").read_bytes() == b"xxx", "as long as it gets on, it goes on"
