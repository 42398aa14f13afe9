"""What is known of a finished run's artifact without loading it: its files, the facts of its manifest, the text of its card."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from shared.compress.archive import CARD, MANIFEST
from shared.compress.manifest import GateResult, Manifest
from shared.frozen import Frozen
from shared.identity import fingerprint
from shared.printable import one_line

LARGEST_TEXT = 256 * 1024
"""Bytes of a manifest or a card beyond which it is not shown."""


class FileLine(Frozen):
    """A file of the artifact and its bytes."""

    name: str
    size: int


class ArtifactFacts(Frozen):
    """An artifact. ``facts`` are lines of its manifest for people (label, value), none where the manifest cannot be read.

    The signature is not checked here: that is what ``fedstill artifact verify`` is for, at whoever is about to use it.
    """

    files: tuple[FileLine, ...]
    facts: tuple[tuple[str, str], ...] = ()
    gate: GateResult | None = None
    card: str = ""


def artifact_facts(folder: Path) -> ArtifactFacts | None:
    """What lies in an artifact's ``folder``; ``None`` where there is no such folder."""
    if not folder.is_dir():
        return None
    files = tuple(
        FileLine(name=one_line(path.name), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.is_symlink()
    )
    manifest, card = _manifest(folder / MANIFEST), _read(folder / CARD).decode(errors="replace")
    return ArtifactFacts(
        files=files,
        facts=() if manifest is None else _facts(manifest),
        gate=None if manifest is None else manifest.gate,
        card="\n".join(one_line(line) for line in card.splitlines()),
    )


def _manifest(path: Path) -> Manifest | None:
    try:
        return Manifest.parse(_read(path))
    except ValidationError:
        return None


def _read(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > LARGEST_TEXT:
        return b""
    return path.read_bytes()


def _facts(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    gate, origin = manifest.gate, manifest.provenance
    sizes = sorted(origin.cohort_sizes) or [0]
    cost = "no differential privacy" if origin.epsilon is None else f"ε = {origin.epsilon:.4g} at δ = {origin.delta:g}"
    found = {
        "version": str(manifest.version),
        "signed by": fingerprint(bytes.fromhex(manifest.signer)) if manifest.signer else "nobody",
        "made for": manifest.device,
        "grid": manifest.grid,
        "task": f"{manifest.task.family}: {', '.join(manifest.task.labels)}",
        "accuracy": f"{gate.won.right / gate.records:.4f}, of the float student {gate.float_right / gate.records:.4f}",
        "answers as the float student": f"{gate.won.agree / gate.records:.4f}",
        "bytes": f"{gate.won.size:,}" + (f", of the float student {gate.float_size:,}" if gate.float_size else ""),
        "milliseconds by the cost model": f"{1000 * gate.won.seconds:.3f}" if gate.won.seconds else "unknown",
        "judged on": f"{gate.records:,} held-out records; allowed loss of accuracy {gate.max_drop:g}",
        "parameters": f"{origin.student_parameters:,}",
        "learnt from": f"{origin.train_records:,} records" if origin.train_records is not None else "unknown",
        "training rounds": f"{origin.rounds}, {origin.void_rounds} void, {sizes[0]} to {sizes[-1]} institutions in a round",
        "privacy": cost,
    }
    return tuple((label, one_line(value)) for label, value in found.items())
