"""How much of a large model a small student keeps, how much smaller and how much faster it is.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.retention [--subject banking77 …] [--seeds 3]

One teacher a subject, fitted once (``benchmarks/schooling.py``): MiniLM fine-tuned on texts, EfficientNet-lite2 fine-tuned on
images, boosted trees on tables. Students differ by seed. ``kept`` is the student's metric over the teacher's; its baseline is the
same student without a teacher. ``faster``: the teacher's milliseconds for one record over the student's, both float32 in torch on one
thread (trees: in their library); ``faster_onnx`` with the student in onnxruntime, ``faster_both_onnx`` with both there (images alone).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.schooling import Figures, changed, kept_student, score_of, student_figures, student_of, teacher_figures, teacher_of
from benchmarks.subjects import SUBJECTS, Subject
from shared.models import save_model

GOAL_KEPT, GOAL_FASTER = 0.97, 8.0


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--subject", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS), help="which sets (default all)")
    options.add_argument("--students", type=Path, metavar="FOLDER", help="keep each student there: benchmarks/edge_steps.py takes them up")
    arguments = options.parse_args()
    claims: list[Claim] = []
    for name in arguments.subject:
        claims.extend(measured(SUBJECTS[name](), arguments.seeds, arguments.students))
    report("retention", claims, arguments)


def measured(subject: Subject, seeds: int, folder: Path | None = None) -> Iterator[Claim]:
    """The claims of one subject; its students are kept in ``folder``."""
    teacher = teacher_of(subject)
    theirs = teacher_figures(subject, teacher)
    students: list[Figures] = []
    alone: list[float] = []
    for seed in range(seeds):
        student, seconds = student_of(subject, teacher, seed=seed)
        if folder is not None:
            save_model(kept_student(folder, subject.name, seed), student)
        students.append(student_figures(subject, student, seconds))
        alone.append(score_of(subject, student_of(changed(subject, teacher="none"), None, seed=seed)[0]))
        print(
            f"{subject.name}, seed {seed}: teacher {theirs.score:.4f}, student {students[-1].score:.4f}, alone {alone[-1]:.4f}", flush=True
        )
    name = subject.name
    yield claim(f"{name}.teacher", [theirs.score], subject.metric_name)
    yield claim(f"{name}.student", [one.score for one in students], subject.metric_name, baseline=statistics.median(alone))
    kept = [one.score / theirs.score for one in students]
    yield claim(f"{name}.kept", kept, "of the teacher", baseline=statistics.median(alone) / theirs.score, goal=GOAL_KEPT)
    yield claim(f"{name}.gain", [100 * (one.score - other) for one, other in zip(students, alone, strict=True)], "points")
    yield claim(f"{name}.parameters", [float(students[0].parameters or 0)], "numbers", baseline=float(theirs.parameters or 0))
    yield claim(f"{name}.size", [students[0].bytes / 1e6], "MB", baseline=theirs.bytes / 1e6)
    yield claim(f"{name}.latency", [one.latency_ms for one in students], "ms", baseline=theirs.latency_ms)
    yield claim(f"{name}.faster", [theirs.latency_ms / one.latency_ms for one in students], "times", goal=GOAL_FASTER)
    yield claim(f"{name}.faster_onnx", [theirs.latency_ms / (one.onnx_ms or one.latency_ms) for one in students], "times")
    if theirs.onnx_ms is not None:
        both = [theirs.onnx_ms / one.onnx_ms for one in students if one.onnx_ms]
        yield claim(f"{name}.faster_both_onnx", both, "times", goal=GOAL_FASTER)
    yield claim(f"{name}.seconds", [one.seconds for one in students], "s")


if __name__ == "__main__":
    main()
