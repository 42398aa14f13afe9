"""A federation that is joined by tokens, as operators do it: real commands, one public port, one institution revoked on the way."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import tomli_w

from fedstill.teachers import fit_institution
from fedstill.workspace import Workspace, prepare
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_sites
from shared.processes import free_port
from shared.service import read_status
from tests.support.deployed import command, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROUNDS = 1


@dataclass(frozen=True)
class Joined:
    """Folders as operators have them after joining: the coordinator's, and one for each institution."""

    coordinator: Path
    institutions: dict[str, Path]
    port: int
    logs: Path

    def open(self) -> Any:
        return command(self.logs, "coordinator", "open", str(self.coordinator), "--port", str(self.port), "--host", "127.0.0.1")

    def run(self) -> Any:
        words = ("--port", str(self.port), "--host", "127.0.0.1", "--wait", "240", "--json")
        return command(self.logs, "coordinator", "run", str(self.coordinator), *words)


def done(*words: str, given: str = "", code: int | None = 0) -> str:
    """What a command that ends by itself says on stdout; it must end with ``code`` (``None``: any)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "250"}
    finished = subprocess.run(
        [sys.executable, "-m", "fedstill", *words], input=given, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert code is None or finished.returncode == code, f"{words}: {finished.stdout}{finished.stderr}"
    return finished.stdout


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Records and teachers of four hospitals; the keys that a simulation makes for them are not used."""
    from fedstill.plan import builtin_federation

    changes = {"rounds": ROUNDS, "teacher_training": {"epochs": 1}, "training": {"epochs": 1}, "knowledge": None}
    config = FederationConfig.model_validate({**builtin_federation("heart").model_dump(), **changes})
    workspace = prepare(config, tmp_path_factory.mktemp("sites"), load_sites(config))
    for home in workspace.institutions.values():
        fit_institution(load_config(InstitutionConfig, home / "institution.toml"), home, config)
    return workspace


@pytest.fixture(scope="module")
def joined(sites: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Joined:
    """Everyone has joined by a token and pinned the whole roster; all but the last want to approve runs."""
    folder, port = tmp_path_factory.mktemp("joined with a 'space'"), free_port()
    made = Joined(folder / "coordinator", {name: folder / name for name in sites.institutions}, port, folder / "said")
    done("coordinator", "init", str(made.coordinator), "--config", str(sites.coordinator / "federation.toml"), "--host", "127.0.0.1")
    with made.open() as door:
        wait_for(lambda: door.said("the door is open"), "the opening of the door")
        for name, home in made.institutions.items():
            config = configured(sites.institutions[name], manual=name != last(made))
            token = done("coordinator", "invite", str(made.coordinator), name, "--address", f"127.0.0.1:{port}")
            done("client", "join", "-", str(home), "--config", str(config), given=token)
        found = json.loads(done("client", "roster", str(made.institutions[last(made)]), "--json"))
        assert len(found["members"]) == len(made.institutions)
        for home in made.institutions.values():
            done("client", "roster", str(home), "--accept", found["roster_digest"][:16])
        # Records, teacher, policy and all of the network; room is the machine's affair.
        checks = json.loads(done("client", "check", str(home), "--json", code=None))["checks"]
        assert {one["check"] for one in checks if not one["passed"]} <= {"disk", "memory"}, checks
        wait_for(lambda: door.said(f"{last(made)} has joined"), "the word that all have joined")
    return made


def last(made: Joined) -> str:
    return max(made.institutions)


def configured(home: Path, *, manual: bool) -> Path:
    """The institution's configuration with the policy of an operator who wants to approve runs."""
    config = load_config(InstitutionConfig, home / "institution.toml")
    policy = config.policy.model_copy(update={"approve": "manual" if manual else "automatic"})
    table = config.model_copy(update={"policy": policy}).model_dump(mode="json", exclude_none=True)
    path = home / "joining.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def test_a_run_waits_for_approvals_goes_on_without_who_was_revoked_and_gives_its_artifact(joined: Joined, tmp_path: Path) -> None:
    leaving = last(joined)
    staying = {name: home for name, home in joined.institutions.items() if name != leaving}
    with ExitStack() as stack:
        coordinator = stack.enter_context(joined.run())
        wait_for(lambda: coordinator.said("listening on port"), "the coordinator's start")
        services = {
            name: stack.enter_context(command(joined.logs, "client", "run", str(home))) for name, home in joined.institutions.items()
        }
        wait_for(lambda: coordinator.said("has not approved run"), "the word that nobody has approved the run")

        from_outside(joined)
        done("coordinator", "revoke", str(joined.coordinator), leaving)
        done("client", "watch", str(joined.institutions[leaving]), code=40)
        wait_for(lambda: coordinator.said(f"{leaving} is not let in any more"), "the end of its node", 60)
        wait_for(lambda: services[leaving].said("not in force"), "the word to who was revoked", 60)
        for name in staying:
            wait_for(lambda name=name: services[name].said(f"{leaving} is not in the federation"), f"the word to {name}", 60)  # type: ignore[misc]
        wait_for(lambda: coordinator.said(f"{leaving} was revoked; the others are told"), "the new epoch", 60)

        run = read_status(joined.coordinator / "flower" / "status.json").run
        for home in staying.values():
            plan = done("client", "approve", str(home), run, "--yes")
            assert f"rounds = {ROUNDS}" in plan
        assert coordinator.wait(300) == 0, coordinator.log.read_text()
        result = coordinator.result()
    with joined.open() as door:
        wait_for(lambda: door.said("the door is open"), "the opening of the door")
        home = next(iter(staying.values()))
        done("client", "artifact", str(home), run, "--out", str(tmp_path / "artifact"))
        done("client", "artifact", str(joined.institutions[leaving]), run, "--out", str(tmp_path / "none"), code=40)
        events = [json.loads(line)["event"] for line in done("client", "watch", str(home), run).splitlines()]
    done("artifact", "verify", str(tmp_path / "artifact"))
    kept = Path(str(result["artifact"]))
    assert {path.name: path.read_bytes() for path in (tmp_path / "artifact").iterdir()} == {
        path.name: path.read_bytes() for path in kept.iterdir()
    }
    closed = [event for event in events if event["kind"] == "round-closed"]
    assert closed
    assert all(set(event["survivors"]) <= set(staying) for event in closed)


def from_outside(joined: Joined) -> None:
    """What a machine on the network can reach while a run is on, with the CA's certificate and nothing else."""
    trust = ssl.create_default_context(cafile=str(joined.coordinator / "keys" / "ca.crt"))
    with httpx.Client(base_url=f"https://127.0.0.1:{joined.port}", verify=trust, timeout=20, trust_env=False) as client:
        elsewhere = ("/v1/control/start-run", "/v1/control/list-runs", "/v1/runtime/acquire-task", "/docs", "/openapi.json", "/health")
        pages = ("/console", "/console/runs", "/console/audit")
        for path in (*elsewhere, *pages):
            assert (client.get(path).status_code, client.post(path).status_code) == (403, 403)
        assert client.post("/v1/fleet/pull-messages").status_code in (400, 401, 415, 422)
        code = done("coordinator", "console", str(joined.coordinator)).strip().partition("#")[2]
        assert client.post("/console/login", data={"code": code}).status_code == 303
        assert [client.get(path).status_code for path in pages] == [200] * 3
        here = client.get("/console?format=json").json()
        assert {one["name"] for one in here["members"] if one["online"]} == set(joined.institutions)
        assert {(client.get(path).status_code, client.post(path).status_code) for path in elsewhere} == {(403, 403)}
        assert done("coordinator", "console", str(joined.coordinator), "--sign-out").startswith("1 session")
        assert [client.get(path).status_code for path in pages] == [403] * 3
    ports = read_status(joined.coordinator / "flower" / "status.json").ports
    assert listening_beyond_loopback() & set(ports.values()) == set()


def listening_beyond_loopback() -> set[int]:
    """The ports of this machine that somebody listens on, on another address than loopback's."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            local, state = line.split()[1], line.split()[3]
            address, _, port = local.rpartition(":")
            if state == "0A" and address not in ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"):
                found.add(int(port, 16))
    return found
