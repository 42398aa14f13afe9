"""``fedstill artifact``: verify a signed INT8 artifact, show what it is, try it on records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.compress import console
from shared.compress.verify import Artifact, open_artifact, parse_key

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Verify, show and try a signed INT8 artifact.")
Folder = Annotated[Path, typer.Argument(help="The artifact's folder, or its .tar.zst.")]
Key = Annotated[str | None, typer.Option(help="The signer's public key: 64 hex digits, or a file: those, a PEM, a roster.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def verify(artifact: Folder, key: Key = None, as_json: AsJson = False) -> None:
    """Check signature, digests and file list, and that the model loads and runs. Exit code 70 where anything is wrong.

    Example: fedstill artifact verify runs/trial/artifact --key roster.json
    """
    found = console.verdict(_open(artifact, key), key_given=key is not None)
    sys.stdout.write(json.dumps(found) + "\n" if as_json else console.verdict_text(found))


@app.command()
def show(artifact: Folder, key: Key = None, as_json: AsJson = False) -> None:
    """Verify, then print operators in INT8 and in float, sizes, the gate's figures and provenance.

    Example: fedstill artifact show runs/trial/artifact
    """
    opened = _open(artifact, key)
    if as_json:
        sys.stdout.write(json.dumps(opened.manifest, sort_keys=True) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in console.facts(opened):
        table.add_row(name, text)
    Console(file=sys.stdout).print(table)


@app.command("serve-once")
def serve_once(
    artifact: Folder,
    source: Annotated[Path | None, typer.Option("--input", help="Records: JSON, JSON lines, CSV or .npy; default: stdin.")] = None,
    key: Key = None,
    head: Annotated[str | None, typer.Option(help="Answer within this head of the task; default: among all labels.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify, then predict one record or a batch and print one line each, or with --json one object for all.

    Example: echo '{"age": 63, "sex": "male", …}' | fedstill artifact serve-once runs/trial/artifact
    """
    opened = _open(artifact, key)
    entries = console.predictions(opened, console.read_records(source), head)
    if as_json:
        sys.stdout.write(json.dumps({"predictions": entries}) + "\n")
        return
    for entry in entries:
        sys.stdout.write(f"{entry['label']}\t{max(entry['probabilities'].values()):.4f}\n")


def _open(path: Path, key: str | None) -> Artifact:
    return open_artifact(path, parse_key(key) if key is not None else None)
