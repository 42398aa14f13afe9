"""What pruning and rewriting cost in accuracy before and after healing, and what they save in time.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.pruning [--tasks heart digits retinamnist] [--seeds 3] [--json FILE]

For each seed one teacher, fitted on the pooled records, teaches one student, which is then pruned or rewritten, and healed by a short
distillation from the same teacher. ``whole`` is the student itself after as much more distillation, so that healing is not counted as a
gain. ``accuracy`` is that of the INT8 file on held-out records, ``unhealed`` and ``healed`` those of the float student before and after
healing, ``parameters`` what is left, ``latency`` one record through the INT8 file, one thread: files are timed in turns, and each has
its quietest turn, for the machine may be busy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.trials import TASKS, Trial, trials
from fedstill.baselines import pool
from shared.compress import runtime
from shared.compress.calibrate import ranges_of
from shared.compress.export import export_float
from shared.compress.latency import onnx_latencies
from shared.compress.prune.anatomy import anatomy
from shared.compress.prune.apply import prune
from shared.compress.prune.federated import multiple_for
from shared.compress.prune.importance import importance_counts, importances
from shared.compress.prune.plan import PruneSettings, decide
from shared.compress.quantise import quantise
from shared.compress.rewrite.split import split_convolutions
from shared.data import Records
from shared.distill.evaluation import score
from shared.distill.targets import Targets, targets_of
from shared.distill.teacher import fit_teacher, own_normalisation
from shared.distill.trainer import distil
from shared.models import Network, build, count_parameters
from shared.models.residual import ResidualNet
from shared.settings import NetworkSettings

GRID = "u8s8-7bit"
SHAPES: Mapping[str, dict[str, Any]] = {
    "heart": {"width": 32, "depth": 5, "heads": 4},
    "digits": {"width": 16, "depth": 4},
    "retinamnist": {"width": 16, "depth": 5},
}
"""Students wide and deep enough to have something to lose."""
EPOCHS, HEALING = 12, 4
BLOCK, TURNS = 16, 7

Figures = dict[str, float]


@dataclass(frozen=True)
class Ward:
    """One seed: what is learnt from, the teacher's targets of it, and the settings of the task."""

    trial: Trial
    learnt: Records
    targets: Targets
    epochs: int
    healing: int

    def taught(self, student: Network, epochs: int, seed: int) -> None:
        """Distils in place."""
        training = self.trial.config.training.model_copy(update={"epochs": epochs})
        distil(student, self.targets, self.learnt, training, self.trial.config.distillation, seed=seed)


def measure(trial: Trial, task: str, *, quick: bool = False) -> dict[str, Figures]:
    """One seed: the figures of every variant by name."""
    config, learnt = trial.config, pool([split.train for split in trial.sites.values()])
    teacher = fit_teacher(learnt, config.task, config.teacher, config.teacher_training, seed=config.seed)
    ward = Ward(trial, learnt, targets_of(teacher, learnt.inputs, inside=True), 1 if quick else EPOCHS, 1 if quick else HEALING)
    settings = NetworkSettings(**SHAPES[task]) if not quick else NetworkSettings(width=8, depth=2, heads=2)
    student = build(settings, config.task, own_normalisation(config.task, learnt), seed=config.seed)
    ward.taught(student, ward.epochs, config.seed)
    found, files = {}, {}
    for name, change in variants(student, ward).items():
        made = change(student)
        unhealed = trial.grade(made)["accuracy"]
        ward.taught(made, ward.healing, config.seed + 1)
        healed = trial.grade(made)["accuracy"]
        files[name] = int8(made, learnt)
        logits = runtime.logits(runtime.session(files[name]), trial.graded.inputs)
        accuracy = score(logits, trial.graded.labels, len(config.task.labels)).accuracy
        found[name] = {"unhealed": unhealed, "healed": healed, "accuracy": accuracy, "parameters": float(count_parameters(made))}
    for name, seconds in onnx_latencies(files, learnt.inputs, turns=TURNS, repeats=100).items():
        found[name]["latency"] = seconds * 1e3
    return found


def variants(student: Network, ward: Ward) -> dict[str, Callable[[Network], Network]]:
    """What is made of the student; ``whole`` is a copy."""
    made: dict[str, Callable[[Network], Network]] = {f"pruned_{percent}": pruned(ward, percent / 100) for percent in (0, 20, 40)}
    made = {"whole": made.pop("pruned_0"), **made}
    if isinstance(student, ResidualNet):
        made["separable"] = lambda whole: split_convolutions(whole, "separable")
        made["factorised"] = lambda whole: split_convolutions(whole, "factorised")
    return made


def pruned(ward: Ward, fraction: float) -> Callable[[Network], Network]:
    """At once, by losses and estimates from the records that are learnt from: those held out are only graded on."""

    def smaller(student: Network) -> Network:
        whole = anatomy(student)
        worth = importances(whole, importance_counts(student, ward.learnt, ward.learnt))
        return prune(student, decide(whole, worth, PruneSettings(fraction=fraction, multiple=multiple_for(whole, BLOCK))))

    return smaller


def int8(student: Network, learnt: Records) -> bytes:
    """The INT8 file, its ranges from the records that are learnt from."""
    content = export_float(student, student.task)
    return quantise(content, ranges_of(content, learnt.inputs), GRID)


def claims(task: str, seeds: Sequence[Mapping[str, Figures]]) -> list[Claim]:
    """The medians over seeds; the whole student's are the baselines."""
    found = []
    for variant in seeds[0]:
        for name, unit in (
            ("unhealed", "accuracy"),
            ("healed", "accuracy"),
            ("accuracy", "accuracy"),
            ("parameters", ""),
            ("latency", "ms"),
        ):
            baseline = float(np.median([seed["whole"][name] for seed in seeds])) if variant != "whole" else None
            found.append(claim(f"{task}.{variant}.{name}", [seed[variant][name] for seed in seeds], unit, baseline=baseline))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=["heart", "digits"])
    options.add_argument("--quick", action="store_true", help="tiny networks, one seed, nothing kept")
    asked = options.parse_args(arguments)
    asked.seeds, asked.no_keep = (1, True) if asked.quick else (asked.seeds, asked.no_keep)
    found: list[Claim] = []
    for task in asked.tasks:
        trial_of = trials(task, quick=asked.quick)
        measured = []
        for seed in range(asked.seeds):
            measured.append(measure(trial_of(200 + seed), task, quick=asked.quick))
            print(f"{task}, seed {seed}: {measured[-1]}", file=sys.stderr)
        found += claims(task, measured)
    report("pruning", found, asked)


if __name__ == "__main__":
    main()
