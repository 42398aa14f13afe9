"""The three steps on the students of photographs: what benchmark, pruning and quantising each cost and win.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.edge_steps [--subjects retinamnist elpv] [--seeds 3] [--students FOLDER] [--json FILE]

``fedstill compress`` itself, for this machine's kind of processor: EfficientNet-lite2, fitted once, teaches one student a seed, or those
that ``benchmarks.retention --students FOLDER`` kept are taken, and heals what each cut breaks. Cuts are accepted on two fifths of the test
part; accuracy and macro F1 are counted on the other three. Milliseconds of one record on one thread, megabytes of a fresh process with one
model. ``pruned`` is the float student where no cut was kept (``cuts``: how many were; ``undone``: how many more had been, of which the gate
signed nothing). ``faster`` and ``lighter`` compare the signed file with the teacher in torch, ``than_float`` with the float file before all
steps; ``behind`` are points of accuracy below that file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.edge_families import here
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.schooling import kept_student, student_of, teacher_folder, teacher_of
from benchmarks.subjects import SUBJECTS, Subject
from fedstill.compressing.plan import CompressPlan
from fedstill.compressing.pruning import UNDONE
from fedstill.compressing.run import run_compression
from fedstill.report.compressed import CompressSummary, Stage
from shared.errors import ArtifactError
from shared.models import save_model

PHOTOGRAPHS = ("retinamnist", "idrid", "elpv")
STEPS = {"teacher": "teacher, torch", "student": "student, torch", "float": "student, ONNX", "pruned": "pruned, ONNX"}
"""Names of the stages in a summary; the last one is the INT8 file."""
FASTER, LIGHTER, BEHIND = 4.0, 3.2, 0.3

Figures = Mapping[str, float]


def measure(subject: Subject, seed: int, students: Path | None, folder: Path) -> Figures:
    """One student's figures by name. Raises :class:`ArtifactError` where the gate signs nothing."""
    teacher = teacher_of(subject)
    student = None if students is None else kept_student(students, subject.name, seed)
    if student is None or not student.is_file():
        student = folder / "student.safetensors"
        save_model(student, student_of(subject, teacher, seed=seed)[0])
    plan = CompressPlan(
        folder=folder / "compressed",
        student=student,
        federation=subject.config,
        teacher=teacher_folder(subject.name),
        device=here(),
        seed=seed,
    )
    return figures_of(run_compression(plan, Console(file=sys.stderr, width=160), subject.split))


def figures_of(summary: CompressSummary) -> Figures:
    """A compression's figures by ``step.figure``."""
    stages = {step: stage for step, name in STEPS.items() for stage in summary.stages if stage.name == name}
    stages.setdefault("pruned", stages["float"])
    stages["signed"] = summary.stages[-1]
    found = {f"{step}.{name}": value for step, stage in stages.items() for name, value in _stage(stage).items()}
    ratios = {
        "signed.behind": 100 * (stages["float"].accuracy - stages["signed"].accuracy),
        "signed.faster": found["teacher.ms"] / found["signed.ms"],
        "signed.lighter": found["teacher.mb"] / found["signed.mb"],
        "signed.than_float": found["float.ms"] / found["signed.ms"],
    }
    seconds = {f"seconds.{step}": took for step, took in summary.seconds.items()}
    cuts = {"cuts": sum(cut.accepted for cut in summary.cuts), "undone": sum(cut.reason == UNDONE for cut in summary.cuts)}
    return {**found, **ratios, **{name: float(count) for name, count in cuts.items()}, **seconds}


def _stage(stage: Stage) -> dict[str, float]:
    values = {
        "accuracy": stage.accuracy,
        "macro_f1": stage.macro_f1,
        "parameters": stage.parameters,
        "kb": None if stage.bytes is None else stage.bytes / 1000,
        "ms": stage.here_ms,
        "mb": stage.peak_mb,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def claims(subject: str, found: Sequence[Figures], seeds: int) -> list[Claim]:
    """All seeds' figures; ``signed``: the share of students of which the gate signed a file."""
    goals = {"signed.behind": BEHIND, "signed.faster": FASTER, "signed.lighter": LIGHTER, "signed.than_float": 1.0}
    units = {
        "accuracy": "share",
        "macro_f1": "share",
        "kb": "KB",
        "mb": "MB",
        "behind": "points",
        "faster": "×",
        "lighter": "×",
        "than_float": "×",
        "undone": "cuts",
    }
    rows = [claim(f"{subject}.signed", [len(found) / seeds], "share", goal=1.0)]
    for name in found[0] if found else ():
        first, _, last = name.rpartition(".")
        unit = "s" if first == "seconds" else units.get(last, last)
        rows.append(claim(f"{subject}.{name}", [one[name] for one in found], unit, goal=goals.get(name)))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--subjects", nargs="+", choices=PHOTOGRAPHS, default=["retinamnist", "elpv"])
    options.add_argument("--students", type=Path, metavar="FOLDER", help="students that benchmarks.retention kept; others are taught anew")
    chosen = options.parse_args(arguments)
    rows: list[Claim] = []
    for name in chosen.subjects:
        rows.extend(claims(name, measured(SUBJECTS[name](), chosen.seeds, chosen.students), chosen.seeds))
    report("edge_steps", rows, chosen)


def measured(subject: Subject, seeds: int, students: Path | None) -> list[Figures]:
    """The figures of every seed of which a file was signed; the others are told of on stderr."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            try:
                found.append(measure(subject, seed, students, Path(folder)))
            except ArtifactError as error:
                print(f"{subject.name}, seed {seed}: {error}", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
