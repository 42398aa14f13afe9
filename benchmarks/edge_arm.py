"""Signed artifacts answer on ARM as they do on this machine: every record of the test set, by onnxruntime's own aarch64 package.

    FEDSTILL_ARM_PYTHON=COMMAND [FEDSTILL_BENCH_DATA=DIR] python -m benchmarks.edge_arm [--subjects NAME …] [--cpus NAME …]

A student of each family learns from labels alone and becomes four files: ``float``; ``full`` and ``portable``, every operator in INT8
with 8-bit and with 7-bit weights; and ``signed``, what the gate signs for a Cortex-A72. The INT8 files are signed artifacts, verified on
the ARM side before they answer; ``docs/devices.md`` says how COMMAND is made. ``agreement``: the share of records with the same answer
on both, ``equal``: the share of logits that are the same bit for bit, ``apart``: the largest difference of a logit, as a part of their
standard deviation; each the worst of all emulated cores. Arithmetic under the emulator is exact; its seconds mean nothing and are not
reported.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from benchmarks.arm import CPUS, Asked, answers, machine, missing
from benchmarks.edge_families import ALLOWED, FAMILIES, GATED, Family
from benchmarks.harness import RESULTS, Claim, claim, parser, report
from fedstill.compressing.quantising import Judged, calibrated, judged
from shared.compress import runtime
from shared.compress.artifact import write_artifact
from shared.compress.candidates import candidates
from shared.compress.cost import timing_on
from shared.compress.export import export_float
from shared.compress.gate import Allowed
from shared.compress.manifest import Manifest, Provenance
from shared.compress.quantise import quantise
from shared.compress.verify import open_artifact
from shared.data.records import Split
from shared.data.split import hold_out
from shared.distill.teacher import fit_teacher
from shared.files import write_atomic
from shared.identity import public_bytes
from shared.models import Network, count_parameters

DEVICE = "cortex-a72"
GRIDS: Mapping[str, str] = {"full": "u8s8", "portable": "u8s8-7bit"}
"""Files with every operator in INT8, by the grid of their weights."""
BUILTIN = ("heart_transformer", "digits_convolutional", "digits_vision")


@dataclass(frozen=True)
class Compared:
    """One file on one core beside the same file here."""

    file: str
    cpu: str
    accuracy: float
    agreement: float
    equal: float
    apart: float


def compare(family: Family, cpus: Sequence[str], folder: Path, *, seed: int, most: int | None = None) -> list[Compared]:
    """Every file of a family on every core of ``cpus``; ``most``: records of the test set, all of them by default."""
    split = family.split(seed)
    student = fit_teacher(split.train, family.task, family.student, family.training, seed=seed)
    test = split.test.take(np.arange(min(len(split.test), most or len(split.test))))
    asked = signed(family, student, split, folder, seed=seed)
    inputs = {name: replace(one, inputs=test.inputs) for name, one in asked.items()}
    here = {name: runtime.logits(runtime.session(content_of(one)), one.inputs) for name, one in inputs.items()}
    found = []
    for cpu in cpus:
        theirs = answers(list(inputs.values()), cpu)
        for name, there in zip(inputs, theirs, strict=True):
            found.append(beside(name, cpu, here[name], there, test.labels))
    return found


def content_of(asked: Asked) -> bytes:
    """The ONNX file that is asked, wherever it lies; an artifact is verified first."""
    return asked.model if asked.folder is None else open_artifact(asked.folder, asked.key).model


def beside(file: str, cpu: str, here: NDArray[np.float32], there: NDArray[np.float32], labels: NDArray[np.int64]) -> Compared:
    """The figures of one file's logits ``(records, labels)`` on this machine and on ``cpu``."""
    return Compared(
        file=file,
        cpu=cpu,
        accuracy=float((here.argmax(axis=1) == labels).mean()),
        agreement=float((here.argmax(axis=1) == there.argmax(axis=1)).mean()),
        equal=float((here.view(np.uint32) == there.view(np.uint32)).mean()),
        apart=float(np.abs(here - there).max() / here.std()),
    )


def signed(family: Family, student: Network, split: Split, folder: Path, *, seed: int) -> dict[str, Asked]:
    """The float file, and the signed artifacts of the INT8 files, without records yet."""
    content = export_float(student, family.task)
    parts = hold_out(split.train, GATED, seed=seed, site="gate")
    ranges = calibrated(content, parts.train, family.task)
    timing = timing_on(DEVICE)
    made = {name: {grid: quantise(content, ranges, grid)} for name, grid in GRIDS.items()}
    verdicts = {name: judged(content, files, parts.test, family.task, Allowed(1.0), None) for name, files in made.items()}
    best = candidates(content, ranges, DEVICE, timing)
    verdicts["signed"] = judged(content, best, parts.test, family.task, Allowed(ALLOWED), timing)
    identity, nothing = Ed25519PrivateKey.generate(), split.test.inputs[:0]
    found = {"float": Asked(nothing, model=content)}
    for name, verdict in verdicts.items():
        path = folder / f"{name}-{seed}"
        tokenizer = None if family.tokenizer is None else family.tokenizer.read_bytes()
        write_artifact(path, verdict.winner, _manifest(family, student, verdict), identity, tokenizer)
        found[name] = Asked(nothing, folder=path, key=public_bytes(identity))
    return found


def _manifest(family: Family, student: Network, verdict: Judged) -> Manifest:
    came = Provenance(federation="edge_arm", run="here", rounds=0, void_rounds=0, student_parameters=count_parameters(student))
    return Manifest(task=family.task, device=DEVICE, grid=verdict.result.winner, gate=verdict.result, provenance=came)


def claims(name: str, found: Sequence[Compared]) -> Iterator[Claim]:
    """The worst of all cores, file by file; a file in INT8 is to agree on every record."""
    for file in dict.fromkeys(one.file for one in found):
        own = [one for one in found if one.file == file]
        yield claim(f"{name}.{file}.agreement", [min(one.agreement for one in own)], "share", goal=1.0)
        yield claim(f"{name}.{file}.equal", [min(one.equal for one in own)], "share")
        yield claim(f"{name}.{file}.apart", [max(one.apart for one in own)], "deviations")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports; ends with code 21 where no ARM side is given."""
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--subjects", nargs="+", choices=list(FAMILIES), default=list(BUILTIN), help="which families")
    options.add_argument("--cpus", nargs="+", choices=list(CPUS), default=list(CPUS), help="which emulated cores")
    options.add_argument("--most", type=int, help="records of each test set at most (default: all)")
    chosen = options.parse_args(arguments)
    if reason := missing():
        print(f"SKIPPED: {reason}", file=sys.stderr)
        raise SystemExit(21)
    sides = {cpu: machine(cpu) for cpu in chosen.cpus}
    entries: list[Claim] = []
    rows: list[str] = []
    for name in chosen.subjects:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(FAMILIES[name](), chosen.cpus, Path(folder), seed=20, most=chosen.most)
        entries += claims(name, found)
        rows += [row(name, one) for one in found]
        print("\n".join(rows[-len(found) :]), file=sys.stderr, flush=True)
    report("edge_arm", entries, chosen)
    if not chosen.no_keep:
        keep(sides, rows)


def row(name: str, one: Compared) -> str:
    """One line of the page's table."""
    figures = f"{100 * one.accuracy:.1f} | {100 * one.agreement:.2f} | {100 * one.equal:.2f} | {one.apart:.2g}"
    return f"| {name} | {one.file} | {one.cpu} | {figures} |"


def keep(sides: Mapping[str, str], rows: Sequence[str]) -> None:
    """Appends what the ARM sides were, and every file on every core, to the page."""
    path = RESULTS / "edge_arm.md"
    head = ["", *(f"- {cpu}: {side}" for cpu, side in sides.items()), ""]
    head += ["| family | file | core | right here, % | same answer, % | logits equal bit for bit, % | apart, deviations |"]
    write_atomic(path, (path.read_text() + "\n".join([*head, "|" + " --- |" * 7, *rows]) + "\n").encode())


if __name__ == "__main__":
    main()
