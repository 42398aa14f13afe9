"""The ``fedstill`` command: results on stdout, progress on stderr, one sentence and a code of its own for every error."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click
import typer
from typer.core import TyperGroup

from shared.errors import INTERRUPTED_EXIT_CODE, FedstillError

COMMANDS: dict[str, tuple[str, str]] = {
    "simulate": ("fedstill.cli.simulate", "Run a whole federation on this machine, from records to a signed INT8 artifact."),
    "init": ("fedstill.cli.init", "Write a federation.toml for a CSV file or a folder of images of your own."),
    "check": ("fedstill.cli.check", "Check a federation.toml or institution.toml without running anything."),
    "teacher": ("fedstill.cli.teacher", "Fit, show and ask an institution's own large model."),
    "distill": ("fedstill.cli.distill", "Distil one teacher into one small student on one set of records, without a federation."),
    "compress": ("fedstill.cli.compress", "Prune and quantise a student for a device, gate it, and sign its INT8 artifact."),
    "coordinator": ("fedstill.cli.coordinator", "Set up and run the coordinator's service."),
    "client": ("fedstill.cli.client", "Set up and run an institution's service."),
    "run": ("fedstill.cli.run", "Watch a run of a coordinator or of a simulation, live."),
    "audit": ("fedstill.cli.audit", "Verify and show a side's audit, and say what left the building."),
    "knowledge": ("fedstill.cli.knowledge", "Build, inspect and embed a graph of knowledge."),
    "artifact": ("fedstill.cli.artifact", "Verify, show, try and serve a signed INT8 artifact."),
    "device": ("fedstill.cli.device", "List, show and measure device profiles; predict what a graph costs on one."),
}


class LazyGroup(TyperGroup):
    """Imports a command's module only when it is asked for, so that ``--help`` needs neither torch nor Flower."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's name and help alone: what a listing needs."""
        if cmd_name not in COMMANDS:
            return None
        _, help_text = COMMANDS[cmd_name]
        return click.Command(cmd_name, help=help_text, short_help=help_text)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that runs, imported now."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        command: click.Command = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
        command.name = name
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated distillation: many institutions, one small student, only masked sums in between, a signed INT8 artifact.",
)


@app.callback()
def _root() -> None:
    """Options of every command come after the command's name."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0, the error's own code (``docs/errors/``), or 130 after Ctrl-C."""
    try:
        outcome: Any = app(args=arguments, prog_name="fedstill", standalone_mode=False)
    except FedstillError as error:
        _say(f"error: {error}\n       see docs/errors/{error.slug}.md (exit code {error.exit_code})")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(INTERRUPTED_EXIT_CODE)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
