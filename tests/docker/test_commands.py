"""Every command of fedstill that an operator's document, a unit or a script of the images shows exists, with every option it shows."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from fedstill.cli import COMMANDS

ROOT = Path(__file__).parents[2]
FILES = (
    ROOT / "docs/deploy.md",
    *sorted((ROOT / "docs/systemd").glob("*.service")),
    *sorted((ROOT / "docker").glob("*.sh")),
    ROOT / "tests/e2e/compose.sh",
)


def lines(path: Path) -> Iterator[str]:
    """What a file tells a shell: of a document the blocks of bash, with continued lines joined."""
    text = path.read_text().replace("\\\n", " ")
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    yield from text.splitlines()


def commands(path: Path) -> list[list[str]]:
    """The words of each use of ``fedstill`` up to a comment or the command's end."""
    found, names = [], "|".join(COMMANDS)
    for line in lines(path):
        for use in re.findall(rf"(?:^|[\s/(\"'])(?:run --rm .*?(?:coordinator|institution)|fedstill) ((?:{names}) [^|;&#<>)]*)", line):
            try:
                found.append(shlex.split(use))
            except ValueError:  # the quote ends outside of the command
                found.append(use.replace('"', " ").split())
    return found


USES = [(path.name, words) for path in FILES for words in commands(path)]


def test_documents_and_scripts_show_commands() -> None:
    assert len(USES) >= 40
    assert {"deploy.md", "coordinator.sh", "institution.sh", "compose.sh", "fedstill-run.service"} <= {name for name, _ in USES}


@pytest.mark.parametrize(("name", "words"), USES, ids=[f"{name}: {' '.join(words)}" for name, words in USES])
def test_a_command_exists_with_its_options(name: str, words: list[str]) -> None:
    command: click.Command = typer.main.get_command(importlib.import_module(COMMANDS[words[0]][0]).app)
    rest = words[1:]
    while isinstance(command, click.Group):
        assert rest, words
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    shown = {word.split("=")[0] for word in rest if word.startswith("--")}
    assert shown <= known, f"{name}: {' '.join(words)}"
