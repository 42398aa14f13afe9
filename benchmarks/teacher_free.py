"""Distillation without a teacher's model, beside distillation with one, and beside plain labels.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.teacher_free [--subject banking77 credit] [--seeds 3]

``guided``: the subject's teacher; ``virtual``: smoothed labels (Yuan et al. 2020); ``average``: the student's own moving average
(Tarvainen & Valpola 2017); ``none``: labels alone. ``behind`` is the best of the two teacher-free kinds, by median, below ``guided``.
"""

from __future__ import annotations

import statistics

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.schooling import changed, score_of, student_of, teacher_of
from benchmarks.subjects import SUBJECTS, Subject

KINDS = ("none", "virtual", "average")
GOAL_POINTS = 1.0


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--subject", nargs="+", choices=list(SUBJECTS), default=["banking77", "credit"], help="which sets")
    arguments = options.parse_args()
    claims: list[Claim] = []
    for name in arguments.subject:
        claims.extend(measured(SUBJECTS[name](), arguments.seeds))
    report("teacher_free", claims, arguments)


def measured(subject: Subject, seeds: int) -> list[Claim]:
    """The claims of one subject."""
    teacher, found = teacher_of(subject), dict[str, list[float]]()
    found["guided"] = [score_of(subject, student_of(subject, teacher, seed=seed)[0]) for seed in range(seeds)]
    for kind in KINDS:
        pupil = changed(subject, teacher=kind, soft_weight=0.5)
        found[kind] = [score_of(subject, student_of(pupil, None, seed=seed)[0]) for seed in range(seeds)]
        print(f"{subject.name}, {kind}: {found[kind]}", flush=True)
    best = max(("virtual", "average"), key=lambda kind: statistics.median(found[kind]))
    behind = [100 * (one - other) for one, other in zip(found["guided"], found[best], strict=True)]
    claims = [claim(f"{subject.name}.{kind}", scores, subject.metric_name) for kind, scores in found.items()]
    return [*claims, claim(f"{subject.name}.behind.{best}", behind, "points", goal=GOAL_POINTS)]


if __name__ == "__main__":
    main()
