"""The commands keep Flower on loopback, authenticated, quiet, and inside the coordinator's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.superlink import CoordinatorFolder, executor, gateway, superlink
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


def test_only_the_gateway_listens_beyond_loopback(tmp_path: Path) -> None:
    home = CoordinatorFolder(tmp_path)
    assert "0.0.0.0" not in superlink(home, 1).arguments + executor(home, 1).arguments
    door = gateway(home, 4711, "0.0.0.0", 8443)
    assert (option(door, "--host"), option(door, "--port"), option(door, "--superlink")) == ("0.0.0.0", "8443", "https://127.0.0.1:4711")


@pytest.mark.parametrize("build", [superlink, executor])
def test_flower_does_not_phone_home_nor_install(tmp_path: Path, build: object) -> None:
    assert callable(build)
    environment = build(CoordinatorFolder(tmp_path), 1).environment
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert Path(environment["FLWR_HOME"]).is_relative_to(tmp_path)
