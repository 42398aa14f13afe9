"""``fedstill audit``: verify, show, compare and export a side's audit, and say what left the building."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from shared.audit.chain import Entry
from shared.audit.keys import open_audit
from shared.printable import one_line

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Verify, show, compare and export a side's audit.")

Where = Annotated[Path, typer.Argument(help="A coordinator's or an institution's folder, or the audit/ in it.")]
Pinned = Annotated[Path | None, typer.Option("--roster", help="The roster.json whose keys count; default: the one in the side's folder.")]
Run = Annotated[str | None, typer.Option("--run", help="Of this run only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.command()
def verify(path: Where, roster: Pinned = None, as_json: AsJson = False) -> None:
    """Check every line and the end. Exit code 75 where a line was changed, moved, cut off or put in; the sentence says which.

    Example: fedstill audit verify st-mary --roster roster.json
    """
    trail = open_audit(path, roster=roster)
    torn = f"; a torn line of {trail.unfinished} bytes follows, which a kill left" if trail.unfinished else ""
    facts = {"side": trail.side, "entries": len(trail.entries), "sha256": trail.digest, "unfinished_bytes": trail.unfinished}
    _say(
        json.dumps(facts) if as_json else f"{one_line(trail.side)}: {len(trail.entries)} lines, whole and in order{torn}\n  {trail.digest}"
    )


@app.command()
def show(path: Where, run: Run = None, roster: Pinned = None, as_json: AsJson = False) -> None:
    """Print the audit, a line an entry, after it was verified.

    Example: fedstill audit show st-mary --run heart-1
    """
    for entry in _chosen(open_audit(path, roster=roster).entries, run):
        _say(json.dumps(vars(entry)) if as_json else _line(entry))


@app.command()
def export(
    path: Where,
    format: Annotated[Literal["json", "csv"], typer.Option(help="csv for spreadsheets, json with everything.")] = "json",
    run: Run = None,
    roster: Pinned = None,
) -> None:
    """Print the verified audit for other programs.

    Example: fedstill audit export st-mary --format csv > audit.csv
    """
    from shared.audit.export import as_csv, as_json

    entries = _chosen(open_audit(path, roster=roster).entries, run)
    sys.stdout.write(as_csv(entries) if format == "csv" else as_json(entries))


@app.command()
def left(path: Where, run: Run = None, roster: Pinned = None, as_json: AsJson = False) -> None:
    """Say what left the building: each message's fields in plain words, masked or in clear, with sizes and digests.

    Example: fedstill audit left st-mary --run heart-1
    """
    from fedstill.leaving import print_left
    from shared.audit.left import what_left

    trail = open_audit(path, roster=roster)
    rows = what_left(trail.entries, run)
    if as_json:
        _say(json.dumps([asdict(row) for row in rows]))
    else:
        print_left(trail.side, rows, run)


@app.command()
def compare(
    coordinator: Annotated[Path, typer.Argument(help="The coordinator's folder, or a copy of its audit/.")],
    institution: Annotated[Path, typer.Argument(help="An institution's folder, or a copy of its audit/.")],
    roster: Pinned = None,
    as_json: AsJson = False,
) -> None:
    """Hold two sides' audits against each other: what one sent, the other got. Exit code 75 where they do not fit.

    Example: fedstill audit compare coordinator st-mary --roster roster.json
    """
    from shared.audit.compare import compare as held_against
    from shared.errors import AuditError

    complaints = held_against(open_audit(coordinator, roster=roster), open_audit(institution, roster=roster))
    if as_json:
        _say(json.dumps({"fits": not complaints, "complaints": complaints}))
    if complaints:
        raise AuditError(f"the two audits do not fit: {'; '.join(complaints)}")
    if not as_json:
        _say("the two audits fit")


def _chosen(entries: Iterable[Entry], run: str | None) -> list[Entry]:
    return [entry for entry in entries if run is None or entry.fields.get("run") == run]


def _line(entry: Entry) -> str:
    words = " ".join(f"{one_line(name)}={_short(value)}" for name, value in entry.fields.items() if name != "left")
    return f"{entry.n:>6} {one_line(entry.time)} {one_line(entry.kind)} {words}".rstrip()


def _short(value: object) -> str:
    text = json.dumps(value)
    return text[1:17] + "…" if isinstance(value, str) and len(value) == 64 else text


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
