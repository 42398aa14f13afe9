"""A whole federation as it is deployed: TLS, node authentication, one process each, on loopback.

Killed in the middle and started again, it must still end with the student of the same federation in one process, bit
for bit; and what must not pass does not pass.
"""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import ErrorCode
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab

from fedstill.simulation import run_in_process
from fedstill.teachers import fit_institution
from fedstill.workspace import Workspace, prepare
from shared.bundle import app_bundle
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_sites
from shared.identity import make_node_key
from shared.processes import free_port
from shared.service import read_status
from tests.support.deployed import Running, command, make_deployable, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROUNDS = 2
INSTITUTIONS = 3


@dataclass(frozen=True)
class Deployed:
    """The deployed federation: its folders, its door, its coordinator."""

    workspace: Workspace
    port: int
    coordinator: Running
    words: tuple[str, ...]
    logs: Path

    @property
    def ca(self) -> Path:
        return self.workspace.coordinator / "keys" / "ca.crt"

    def call(self, path: str, method: str = "POST") -> httpx.Response:
        """One request to the coordinator's door, with the CA that institutions have pinned."""
        context = ssl.create_default_context(cafile=str(self.ca))
        return httpx.request(method, f"https://127.0.0.1:{self.port}{path}", verify=context, timeout=20, trust_env=False)

    def superlink(self) -> ControlHttpClient:
        """The Control interface, as only somebody on the coordinator's own machine can reach it."""
        port = read_status(self.workspace.coordinator / "flower" / "status.json").ports["superlink"]
        return ControlHttpClient.from_server_address(f"127.0.0.1:{port}", False, self.ca.read_bytes(), interceptors=[])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Folders of a small federation with fitted teachers, untouched by any run."""
    config = federation()
    sites = dict(sorted(load_sites(config).items())[:INSTITUTIONS])
    workspace = prepare(config, tmp_path_factory.mktemp("federation"), sites)
    for home in workspace.institutions.values():
        fit_institution(load_config(InstitutionConfig, home / "institution.toml"), home, config)
    return workspace


@pytest.fixture(scope="module")
def deployed(simulated: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The same federation deployed: its coordinator waits for the institutions."""
    workspace = moved(simulated, tmp_path_factory.mktemp("deployed with 'odd' name"))
    port, logs = free_port(), workspace.folder / "said"
    make_deployable(workspace, port)
    words = ("coordinator", "run", str(workspace.coordinator), "--port", str(port), "--host", "127.0.0.1", "--wait", "240", "--json")
    with command(logs, *words) as coordinator:
        wait_for(lambda: coordinator.said("listening on port") or coordinator.process.poll() is not None, "the coordinator's start")
        yield Deployed(workspace, port, coordinator, words, logs)


@pytest.fixture(scope="module")
def two_institutions(deployed: Deployed) -> Iterator[Deployed]:
    """All but one of the institutions are connected: the run cannot begin yet."""
    homes = list(deployed.workspace.institutions.values())[:-1]
    with ExitStack() as stack:
        services = [stack.enter_context(command(deployed.logs, "client", "run", str(home))) for home in homes]
        wait_for(lambda: all(service.said("is connected to") for service in services), "the connection of two institutions")
        yield deployed


def federation() -> FederationConfig:
    from fedstill.plan import builtin_federation

    changes = {"rounds": ROUNDS, "teacher_training": {"epochs": 1}, "training": {"epochs": 1}}
    return FederationConfig.model_validate({**builtin_federation("heart").model_dump(), **changes})


def moved(workspace: Workspace, folder: Path) -> Workspace:
    """The same folders somewhere else; what configurations say about places moves along."""
    shutil.copytree(workspace.folder, folder, dirs_exist_ok=True)
    for path in folder.rglob("institution.toml"):
        path.write_text(path.read_text().replace(str(workspace.folder), str(folder)))
    homes = {name: folder / home.relative_to(workspace.folder) for name, home in workspace.institutions.items()}
    return Workspace(folder, folder / workspace.coordinator.relative_to(workspace.folder), homes)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/list-runs",
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/docs",
        "/openapi.json",
        "/health",
        "/",
        "/console",
        "/console/runs",
        "/console/audit",
        "/console/stream",
        "/console/docs",
        "/console/%2e%2e/v1/control/start-run",
        "/console//v1/control/start-run",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_door_is_shut_for_all_but_fleet_calls(deployed: Deployed, path: str, method: str) -> None:
    assert deployed.call(path, method).status_code == 403


def test_a_fleet_call_without_a_node_key_is_refused(deployed: Deployed) -> None:
    assert deployed.call("/v1/fleet/pull-messages").status_code in (400, 401, 415, 422)


def test_a_coordinator_of_another_authority_is_refused(deployed: Deployed, tmp_path: Path) -> None:
    from shared.certificates import make_authority

    make_authority(tmp_path, name="mallory")
    home = copied_institution(deployed, tmp_path)
    shutil.copy(tmp_path / "ca.crt", home / "ca.crt")
    with command(deployed.logs, "client", "run", str(home)) as institution:
        assert institution.wait() == 40
        assert institution.said("does not prove itself")


def test_a_node_that_was_never_enrolled_is_refused(deployed: Deployed, tmp_path: Path) -> None:
    home = copied_institution(deployed, tmp_path)
    (home / "keys" / "node").unlink()
    make_node_key(home / "keys" / "node")
    with command(deployed.logs, "client", "run", str(home), "--give-up-after", "8") as institution:
        assert institution.wait() == 80
        assert institution.said("has not accepted")


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern")
def test_code_that_is_pushed_is_refused_by_every_worker(two_institutions: Deployed, tmp_path: Path) -> None:
    """Somebody who has taken over the coordinator's machine starts a run of their own code."""
    report, marker = tmp_path / "report.json", tmp_path / "institutions-ran-pushed-code"
    bundle = foreign_bundle(report, marker)
    superlink = two_institutions.superlink()
    try:
        run = superlink.StartRun(StartRunRequest(fab=fab_to_proto(bundle), override_config=user_config_to_proto({}))).run_id
        wait_for(
            lambda: superlink.ListRuns(ListRunsRequest(run_id=run)).run_dict[run].status.status == "finished", "the end of the foreign run"
        )
    finally:
        superlink.close()
    assert json.loads(report.read_text()) == [ErrorCode.INVALID_FAB] * (INSTITUTIONS - 1)
    assert not marker.exists()


def test_a_killed_run_ends_with_the_very_student_of_the_simulated_one(
    simulated: Workspace, two_institutions: Deployed, tmp_path: Path
) -> None:
    deployed = two_institutions
    here = moved(simulated, tmp_path / "in-process")
    expected = run_in_process(here.coordinator, here.institutions, "trial").student
    with command(deployed.logs, "client", "run", str(list(deployed.workspace.institutions.values())[-1])):
        wait_for(lambda: deployed.coordinator.said("round 2 "), "the second round's end")
        deployed.coordinator.process.kill()
        with command(deployed.logs, *deployed.words, "--resume") as again:
            assert again.wait(500) == 0, again.log.read_text()
            result = again.result()
    assert again.said("goes on")
    student = deployed.workspace.coordinator / "runs" / str(result["run"]) / "student.safetensors"
    assert student.read_bytes() == expected.read_bytes()
    assert (Path(str(result["artifact"])) / "manifest.json").exists()


def status_of(superlink: ControlHttpClient, run: int) -> str:
    """Where Flower's run stands."""
    return str(superlink.ListRuns(ListRunsRequest(run_id=run)).run_dict[run].status.status)


def copied_institution(deployed: Deployed, folder: Path) -> Path:
    """A copy of an institution's folder, for somebody who is almost that institution."""
    home = deployed.workspace.institutions[min(deployed.workspace.institutions)]
    shutil.copytree(home, folder / "copy", ignore=shutil.ignore_patterns("flower", "logs"))
    return folder / "copy"


def foreign_bundle(report: Path, marker: Path) -> Fab:
    """A bundle with code of its own: its server side notes how the institutions' workers answer."""
    import hashlib
    import io
    import zipfile

    ours = zipfile.ZipFile(io.BytesIO(app_bundle())).read("pyproject.toml").decode()
    server = f"""
import json, time
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    nodes = list(grid.get_node_ids())
    content = RecordDict({{"c": ConfigRecord({{"n": 1}})}})
    waiting = set(grid.push_messages([Message(content, dst_node_id=node, message_type="train", ttl=60.0) for node in nodes]))
    codes, end = [], time.monotonic() + 60
    while waiting and time.monotonic() < end:
        for reply in grid.pull_messages(list(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            codes.append(reply.error.code if reply.has_error() else 0)
        time.sleep(0.1)
    Path({str(report)!r}).write_text(json.dumps(codes))
"""
    client = f"""
from pathlib import Path
Path({str(marker)!r}).touch()
from flwr.clientapp import ClientApp
app = ClientApp()
"""
    files = {
        "pyproject.toml": ours.replace("server.app:app", "foreign.server:app").replace("client.app:app", "foreign.client:app").encode(),
        "LICENSE": b"none",
        "foreign/__init__.py": b"",
        "foreign/server.py": server.encode(),
        "foreign/client.py": client.encode(),
    }
    content, _ = build_fab_from_files(files)
    return Fab(hashlib.sha256(content).hexdigest(), content, {})
