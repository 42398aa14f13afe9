"""What the artifact commands say, without typer or rich: shared by ``fedstill artifact`` and the bare edge command."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compress import rows
from shared.compress.profiling import TimeShares, blank, time_shares
from shared.compress.verify import Artifact, open_artifact, parse_key
from shared.errors import DataError, FedstillError, MissingFileError

MOST_OPERATORS = 4
"""Operators that are named with their share of the time, of each part."""
MOST_INPUT = 2**28
"""Most bytes of records that one call reads."""


def verdict(artifact: Artifact, *, key_given: bool) -> dict[str, Any]:
    """What ``verify`` found, as one JSON object."""
    manifest = artifact.manifest
    return {
        "verified": True,
        "signer": artifact.signer.hex(),
        "signer_compared": key_given,
        "grid": manifest["grid"],
        "device": manifest["device"],
        "version": artifact.version,
        "model_bytes": len(artifact.model),
    }


def verdict_text(found: dict[str, Any]) -> str:
    """The same in a sentence or two."""
    compared = (
        "which is the key you gave"
        if found["signer_compared"]
        else "which was not compared with a key of yours: give --key to know who signed"
    )
    return f"verified: all files are as signed by {found['signer']},\n{compared}; INT8 {found['grid']}, {found['model_bytes']:,} bytes\n"


def facts(artifact: Artifact) -> list[tuple[str, str]]:
    """The manifest as pairs to read: operators, sizes, gate, provenance."""
    manifest = artifact.manifest
    gate, came, operators = manifest["gate"], manifest["provenance"], manifest["operators"]
    won = next(entry for entry in gate["candidates"] if entry["name"] == gate["winner"])
    return [
        ("task", f"{manifest['task']['family']}, {len(manifest['task']['labels'])} labels: {', '.join(manifest['task']['labels'][:8])}"),
        *(("head", f"{head['name']}: {', '.join(head['labels'][:8])}") for head in manifest["task"].get("heads", ())),
        (
            "input",
            f"{manifest['inputs']['dtype']} {tuple(manifest['inputs']['shape'])}, preprocessing {manifest['inputs']['preprocessing']}",
        ),
        ("device, grid", f"{manifest['device']}, {manifest['grid']}"),
        ("operators in INT8", _counts(operators["int8"])),
        ("operators in float", _counts(operators["float"])),
        *([("weights in 8 bits", f"of {operators['weights']} operators in float")] if operators.get("weights") else []),
        ("model", f"{len(artifact.model):,} bytes"),
        (
            "accuracy",
            f"{won['right'] / gate['records']:.4f}, float {gate['float_right'] / gate['records']:.4f}, on {gate['records']} records",
        ),
        ("agreement with float", f"{won['agree'] / gate['records']:.4f}"),
        *_speed(gate, won),
        ("version", str(artifact.version or "none: older than numbered artifacts")),
        ("federation, run", f"{came['federation']}, {came['run']}"),
        ("rounds", f"{came['rounds']}, {came['void_rounds']} void; cohorts {', '.join(map(str, came['cohort_sizes'])) or 'not recorded'}"),
        ("parameters", f"student {came['student_parameters']:,}, teacher {came['teacher_parameters'] or 'none'}"),
        ("epsilon", "no differential privacy" if came["epsilon"] is None else f"{came['epsilon']:g}"),
        ("roster", came.get("roster_digest") or "none: made without a federation"),
        *(("changed", change) for change in came.get("changes", ())),
        ("signer", artifact.signer.hex()),
    ]


def times(artifact: Artifact) -> TimeShares:
    """Where the time of one record goes on this machine: two seconds of runs, at most."""
    return time_shares(artifact.model, blank(artifact.manifest["inputs"]))


def time_facts(found: TimeShares) -> list[tuple[str, str]]:
    """The same as pairs to read: each part's share, and its slowest operators with theirs."""
    parts = zip(("time in INT8", "time in float", "time in conversions"), (found.int8, found.floating, found.conversions), strict=True)
    shares = [(name, _shares_of(part, found.total)) for name, part in parts]
    return [*shares, ("time of operators", f"{found.total:.1f} µs a record on this machine, one thread")]


def read_records(source: Path | None) -> bytes:
    """Records from a file, or from stdin where ``source`` is None or ``-``; raises :class:`DataError` beyond MOST_INPUT."""
    if source is None or str(source) == "-":
        content = sys.stdin.buffer.read(MOST_INPUT + 1)
    elif not source.is_file():
        raise MissingFileError(f"there are no records at {source}; check the path")
    else:
        content = source.read_bytes()[: MOST_INPUT + 1]
    if len(content) > MOST_INPUT:
        raise DataError(f"more than {MOST_INPUT} bytes of records in one call; give them in parts")
    return content


def predictions(artifact: Artifact, content: bytes, head: str | None = None) -> list[dict[str, Any]]:
    """One object a record: ``label`` and ``probabilities`` by label. ``content``: what ``rows.parse`` takes, or an ``.npy`` array.

    With the name of a ``head`` only its labels may be the answer, and only they are listed.
    """
    found, labels = artifact.predict(_inputs(artifact, content), head), artifact.manifest["task"]["labels"]
    span = slice(None) if head is None else artifact.span(head)
    return [
        {"label": labels[index], "probabilities": {label: round(float(p), 6) for label, p in zip(labels[span], row[span], strict=True)}}
        for index, row in zip(found.labels, found.probabilities, strict=True)
    ]


def main(arguments: list[str] | None = None) -> None:
    """``python -m shared.compress.verify``: verify, and on demand show or predict; exits with the error's code."""
    parser = argparse.ArgumentParser(prog="python -m shared.compress.verify", description="Verify a fedstill artifact; show it; predict.")
    parser.add_argument("artifact", type=Path, help="the artifact's folder or .tar.zst")
    parser.add_argument("--key", help="the signer's public key: 64 hex digits, or a file with them, a PEM or a roster.json")
    parser.add_argument("--show", action="store_true", help="print what the manifest says")
    parser.add_argument("--no-time", action="store_true", help="with --show: do not measure where the time goes")
    parser.add_argument("--predict", type=Path, metavar="FILE", help="predict the records in FILE (JSON, CSV, .npy; - is stdin)")
    parser.add_argument("--head", metavar="NAME", help="predict within this head of the task (default: among all labels)")
    options = parser.parse_args(arguments)
    try:
        artifact = open_artifact(options.artifact, parse_key(options.key) if options.key else None)
        sys.stderr.write(verdict_text(verdict(artifact, key_given=options.key is not None)))
        if options.show:
            told = facts(artifact) + ([] if options.no_time else time_facts(times(artifact)))
            sys.stdout.write("".join(f"{name}: {text}\n" for name, text in told))
        if options.predict is not None:
            found = predictions(artifact, read_records(options.predict), options.head)
            sys.stdout.write("".join(json.dumps(entry) + "\n" for entry in found))
    except FedstillError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _inputs(artifact: Artifact, content: bytes) -> NDArray[Any]:
    if content.startswith(b"\x93NUMPY"):
        try:
            return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
        except ValueError as error:
            raise DataError("the .npy file cannot be read, or holds objects; save a plain array") from error
    try:
        return artifact.encode(rows.parse(artifact.manifest["task"], content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise DataError("the records are not UTF-8 text; give JSON, CSV or an .npy array") from error


def _speed(gate: dict[str, Any], won: dict[str, Any]) -> list[tuple[str, str]]:
    # Of a manifest that is older than these figures, or of a device that nobody has a model of, nothing is said.
    here, whole = won.get("seconds"), gate.get("float_seconds")
    times = [] if not here or not whole else [("time a record", f"{here * 1e3:.3f} ms, float {whole * 1e3:.3f} ms, by the device's model")]
    if ratios := won.get("ratios"):
        times.append(("speed elsewhere", f"{_span(ratios)}, by the models of {len(ratios)} devices"))
    size = gate.get("float_size")
    return times if not size else [*times, ("size beside float", f"{won['size']:,} of {size:,} bytes, {size / won['size']:.1f} × smaller")]


def _span(ratios: Mapping[str, float]) -> str:
    fastest, slowest = min(ratios, key=lambda name: ratios[name]), max(ratios, key=lambda name: ratios[name])
    least, most = f"{1 / ratios[slowest]:.2f} × float", f"{1 / ratios[fastest]:.2f} × float"
    return f"{least} on each" if least == most else f"{least} on {slowest} to {most} on {fastest}"


def _shares_of(part: Mapping[str, float], total: float) -> str:
    if not part or not total:
        return "none"
    slowest = ", ".join(f"{name} {100 * taken / total:.0f} %" for name, taken in list(part.items())[:MOST_OPERATORS])
    return f"{100 * sum(part.values()) / total:.0f} %: {slowest}"


def _counts(operators: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in operators.items()) or "none"
