"""The commands keep Flower on loopback, authenticated, quiet, and inside the coordinator's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.superlink import CoordinatorFolder, api, console, door, executor, gateway, superlink
from shared.processes import Command


def option(command: Command, name: str) -> str:
    return command.arguments[command.arguments.index(name) + 1]


def test_superlink_is_on_loopback_with_tls_and_node_authentication(tmp_path: Path) -> None:
    command = superlink(CoordinatorFolder(tmp_path), 4711)
    assert option(command, "--host") == "127.0.0.1"
    assert option(command, "--port") == "4711"
    assert option(command, "--isolation") == "process"
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command.arguments)
    assert "--insecure" not in command.arguments
    assert Path(option(command, "--database")).is_relative_to(tmp_path)


def test_only_the_door_listens_beyond_loopback(tmp_path: Path) -> None:
    home = CoordinatorFolder(tmp_path)
    behind = (superlink(home, 1), executor(home, 1), gateway(home, 9000, 4711), api(home, 9001, 9002), console(home, 9003))
    assert all("0.0.0.0" not in command.arguments for command in behind)
    assert option(gateway(home, 9000, 4711), "--host") == "127.0.0.1"
    assert option(gateway(home, 9000, 4711), "--superlink") == "https://127.0.0.1:4711"
    assert not {"--superlink", "--console"} & set(gateway(home, 9000, None).arguments)
    assert option(gateway(home, 9000, None, 9003), "--console") == "https://127.0.0.1:9003"
    outer = door(home, "0.0.0.0", 8443, {"gateway": 9000, "api": 9001, "join": 9002})
    assert (option(outer, "--host"), option(outer, "--port")) == ("0.0.0.0", "8443")
    assert [option(outer, name) for name in ("--web", "--api", "--join")] == ["9000", "9001", "9002"]


@pytest.mark.parametrize("build", [superlink, executor])
def test_flower_does_not_phone_home_nor_install(tmp_path: Path, build: object) -> None:
    assert callable(build)
    environment = build(CoordinatorFolder(tmp_path), 1).environment
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert Path(environment["FLWR_HOME"]).is_relative_to(tmp_path)
