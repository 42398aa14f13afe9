"""The ``fedstill`` command's front step: the whole command where it is installed, the artifact's commands on an edge device.

A device has numpy, onnxruntime, cryptography and grpcio, and no typer. There the commands of ``fedstill artifact`` still
work, read by :mod:`argparse`; everything else says what is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EDGE_COMMANDS = ("serve", "install", "rollback")
"""Of ``artifact``: those that ``client/edge/command.py`` reads."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits."""
    try:
        from fedstill.cli import main as whole
    except ModuleNotFoundError as error:
        if error.name not in ("click", "typer", "rich"):
            raise
        edge(sys.argv[1:] if arguments is None else arguments)
        return
    whole(arguments)


def edge(arguments: list[str]) -> None:
    """``artifact verify|show|serve-once ARTIFACT [--key KEY] [--input FILE]``, and ``serve``, ``install`` and ``rollback`` as in
    ``client/edge/command.py``, with the edge's packages alone."""
    if arguments[:1] == ["artifact"] and arguments[1:2] and arguments[1] in EDGE_COMMANDS:
        from client.edge.command import main as service

        service(arguments[1:])
        return
    from shared.compress.console import main as console

    if arguments and arguments[0] != "artifact":
        sys.stderr.write("this installation has the edge's packages only; for all commands: pip install 'fedstill[federation]'\n")
    parser = argparse.ArgumentParser(prog="fedstill", description="This installation has the edge's packages only.")
    rooms = parser.add_subparsers(dest="room", required=True)
    artifact = rooms.add_parser("artifact", help="verify, show and try a signed INT8 artifact")
    commands = artifact.add_subparsers(dest="command", required=True)
    for name, text in (("verify", "check everything"), ("show", "and print the manifest"), ("serve-once", "and predict records")):
        command = commands.add_parser(name, help=text)
        command.add_argument("artifact", type=Path)
        command.add_argument("--key", help="the signer's public key: 64 hex digits or a file")
        if name == "serve-once":
            command.add_argument("--input", type=Path, default=Path("-"), help="records: JSON, CSV or .npy; default: stdin")
    for name in EDGE_COMMANDS:
        commands.add_parser(name, help="see its own --help")
    options = parser.parse_args(arguments)
    passed = [str(options.artifact), *(["--key", options.key] if options.key else [])]
    extra = {"verify": [], "show": ["--show"], "serve-once": ["--predict", str(getattr(options, "input", "-"))]}
    console([*passed, *extra[options.command]])
