"""What each part of the objective earns, as in TinyBERT's table (Jiao et al. 2020, table 3): everything, then without one part.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.ablation [--seeds 3] [--epochs 8]

MiniLM fine-tuned on BANKING77 teaches the same student (``benchmarks/subjects.py``). ``everything`` has soft targets, embedding, hidden
and attention alignment, depth-decayed weights, difficulty weights and adaptive scales. Each ``without`` takes one part out;
``minus`` is what that costs in points of accuracy, seed by seed: below the spread, the part earned nothing here.
``random_start`` is everything, but from random weights instead of those derived from the public encoder.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.schooling import changed, score_of, student_of, teacher_of
from benchmarks.subjects import Subject, banking77

EVERYTHING: Mapping[str, object] = {
    "soft_weight": 0.8,
    "embedding_weight": 0.1,
    "hidden_weight": 1.0,
    "attention_weight": 0.1,
    "depth_decay": 0.5,
    "difficulty_weight": 0.5,
    "adaptive_scale": True,
}
WITHOUT: Mapping[str, Mapping[str, object]] = {
    "soft_targets": {"soft_weight": 0.0},
    "embedding": {"embedding_weight": 0.0},
    "hidden": {"hidden_weight": 0.0},
    "attention": {"attention_weight": 0.0},
    "depth_weights": {"depth_decay": 1.0},
    "difficulty_weights": {"difficulty_weight": 0.0},
    "adaptive_scale": {"adaptive_scale": False},
    "all_alignment": {"embedding_weight": 0.0, "hidden_weight": 0.0, "attention_weight": 0.0},
    "teacher": {"teacher": "none"},
}


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--epochs", type=int, default=8, help="epochs of each student (default 8)")
    options.add_argument("--without", nargs="+", choices=list(WITHOUT), default=list(WITHOUT), help="which parts (default all)")
    arguments = options.parse_args()
    report("ablation", measured(shortened(banking77(), arguments.epochs), arguments), arguments)


def measured(subject: Subject, arguments: argparse.Namespace) -> list[Claim]:
    """The claims: everything first, then each part."""
    whole = scores(changed(subject, **EVERYTHING), arguments.seeds, "everything")
    claims = [claim("everything", whole, "accuracy")]
    random_start = dataclasses.replace(subject, config=subject.config.model_copy(update={"initial_path": None}))
    claims.extend(_compared("random_start", scores(changed(random_start, **EVERYTHING), arguments.seeds, "random start"), whole))
    for part in arguments.without:
        found = scores(changed(subject, **{**EVERYTHING, **WITHOUT[part]}), arguments.seeds, f"without {part}")
        claims.extend(_compared(f"without.{part}", found, whole))
    return claims


def scores(subject: Subject, seeds: int, say: str) -> list[float]:
    """The metric of a student a seed."""
    teacher = teacher_of(subject) if subject.config.distillation.teacher == "own" else None
    found = [score_of(subject, student_of(subject, teacher, seed=seed)[0]) for seed in range(seeds)]
    print(f"{say}: {', '.join(f'{score:.4f}' for score in found)}", flush=True)
    return found


def shortened(subject: Subject, epochs: int) -> Subject:
    """The subject with fewer epochs."""
    training = subject.config.training.model_copy(update={"epochs": epochs})
    return dataclasses.replace(subject, config=subject.config.model_copy(update={"training": training}))


def _compared(name: str, found: list[float], whole: list[float]) -> list[Claim]:
    costs = [100 * (one - other) for one, other in zip(whole, found, strict=True)]
    return [claim(name, found, "accuracy", baseline=sorted(whole)[len(whole) // 2]), claim(f"{name}.minus", costs, "points")]


if __name__ == "__main__":
    main()
