"""The ``fedstill`` command's front step: the whole command where it is installed, the artifact's commands on an edge device.

A device has numpy, onnxruntime and cryptography, and no typer. There ``fedstill artifact verify|show|serve-once`` still
work, read by :mod:`argparse`; everything else says what is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


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
    """``artifact verify|show|serve-once ARTIFACT [--key KEY] [--input FILE]`` with the edge's packages alone."""
    from shared.compress.console import main as console

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
    options = parser.parse_args(arguments)
    passed = [str(options.artifact), *(["--key", options.key] if options.key else [])]
    extra = {"verify": [], "show": ["--show"], "serve-once": ["--predict", str(getattr(options, "input", "-"))]}
    console([*passed, *extra[options.command]])
