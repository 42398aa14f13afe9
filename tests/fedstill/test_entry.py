"""Where typer is not installed, the artifact's commands still work, and nothing else pretends to."""

from __future__ import annotations

import sys

import pytest

from client.edge import command
from fedstill import entry
from shared.compress import console


class Blocked:
    """An import hook for a device without the command line's packages."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in ("click", "typer", "rich"):
            raise ModuleNotFoundError(f"no {name}", name=name.partition(".")[0])


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    for name in [n for n in sys.modules if n.partition(".")[0] in ("click", "typer", "rich") or n.startswith("fedstill.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocked(), *sys.meta_path])
    calls: list[list[str]] = []
    monkeypatch.setattr(console, "main", lambda arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["artifact", "verify", "a"], ["a"]),
        (["artifact", "show", "a", "--key", "k"], ["a", "--key", "k", "--show"]),
        (["artifact", "serve-once", "a", "--input", "rows.csv"], ["a", "--predict", "rows.csv"]),
        (["artifact", "serve-once", "a"], ["a", "--predict", "-"]),
    ],
)
def test_a_device_has_the_artifact_s_commands(device: list[list[str]], given: list[str], passed: list[str]) -> None:
    entry.main(given)
    assert device == [passed]


@pytest.mark.parametrize("name", ["serve", "install", "rollback"])
def test_a_device_has_the_service_s_commands(device: list[list[str]], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(command, "main", calls.append)
    entry.main(["artifact", name, "a", "--key", "k"])
    assert (calls, device) == ([[name, "a", "--key", "k"]], [])


def test_a_device_s_help_lists_all_commands_of_artifacts(device: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        entry.main(["artifact", "--help"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("verify", "show", "serve-once", *command.COMMANDS))
    assert set(entry.EDGE_COMMANDS) == set(command.COMMANDS)


def test_a_device_has_no_other_commands(device: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        entry.main(["simulate"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "invalid choice: 'simulate'" in said
    assert "fedstill[federation]" in said
    assert device == []
