"""What a small ring costs the student: three tasks, encodings side by side with unencrypted float32 federated averaging.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.encoding [--tasks heart digits retinamnist] [--seeds 5] [--json FILE] [--quick]

Each seed's hospitals, teachers, rounds and optimiser are the same for all of:

- ``float32``: updates in the clear, the model down whole: the reference;
- ``w16``: 16-bit ring, no rotation, the model down whole;
- ``w8``: 8-bit ring, no rotation, no error feedback: what the rest is for;
- ``w8_rotated``: with the rotation alone;
- ``defaults``: 8-bit ring, rotation, error feedback, a clip norm that follows masked counts, deltas down.

``…_points`` is the difference to the reference on the same seed, in points (hundredths) of accuracy, of kappa for grades of
retinas. Test sets are small: one record is 0.3 points of heart, 0.16 of digits, 0.25 of retinas. So also: ``…_loss``, the
difference of held-out cross-entropy; ``…_error``, how far a round's mean update is from the plain one, relative to it;
``…_drift``, the same for the sum of all rounds. Bytes are those of a real masked answer of one institution, header and all,
and of the blobs down after the first round; ``payload`` are the update's words alone. Flower's SecAgg+ needs 8 bytes up, 4 down.
Settings were chosen on seeds 100 to 104, from recorded updates, never on these.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.averaging import ComparedAveraging, PlainAveraging
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.traffic import Traffic
from benchmarks.trials import Trial, trials
from shared.config import AggregationSettings, FederationConfig

TASKS = ("heart", "digits", "retinamnist")
PLAIN: dict[str, Any] = {"downlink": "full", "clip_quantile": 0.0, "error_feedback": False, "rotation": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "w16": {**PLAIN, "width": 16},
    "w8": {**PLAIN, "width": 8},
    "w8_rotated": {**PLAIN, "width": 8, "rotation": True},
    "defaults": {},
}
GOAL_POINTS, GOAL_BYTES, FLOWER_BYTES_UP = -0.2, 1.0, 8.0
Figures = Mapping[str, float]


def measure(trial: Trial) -> dict[str, float]:
    """One seed's figures of every encoding."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        hospitals = Hospitals.settle(trial.config, trial.sites, Path(folder))
        plain = trial.grade(hospitals.student(hospitals.federate(_with(trial, PLAIN), averaging=PlainAveraging())))
        score = "kappa" if trial.ordinal else "accuracy"
        found |= {f"float32_{name}": value for name, value in plain.items()}
        for name, changes in VARIANTS.items():
            averaging, traffic = ComparedAveraging(), Traffic(len(trial.sites))
            state = hospitals.federate(_with(trial, changes), averaging=averaging, tap=traffic)
            figures = trial.grade(hospitals.student(state))
            found |= {f"{name}_{each}": value for each, value in figures.items() if each != "loss"}
            found[f"{name}_points"] = 100 * (figures[score] - plain[score])
            found[f"{name}_loss"] = figures["loss"] - plain["loss"]
            found |= {f"{name}_error": averaging.error, f"{name}_drift": averaging.drift}
            if name == "defaults":
                found |= {f"{name}_{what}": value for what, value in traffic.per_parameter().items()}
    return found


def _with(trial: Trial, changes: Mapping[str, Any]) -> FederationConfig:
    settings = AggregationSettings.model_validate({**trial.config.aggregation.model_dump(), **changes})
    return trial.config.model_copy(update={"aggregation": settings})


def claims(task: str, found: Sequence[Figures]) -> list[Claim]:
    """All seeds' figures of a task as claims."""
    entries = []
    for name in found[0]:
        values = [figures[name] for figures in found]
        goal = GOAL_POINTS if name == "defaults_points" else GOAL_BYTES if name.startswith("defaults_bytes") else None
        baseline = FLOWER_BYTES_UP if name.startswith("defaults_bytes_up") else None
        unit = "points" if name.endswith("_points") else "bytes a parameter" if "_bytes_" in name else _unit(name)
        entries.append(claim(f"{task}.{name}", values, unit, baseline=baseline, goal=goal))
    return entries


def _unit(name: str) -> str:
    return "nats" if name.endswith("_loss") else "QWK" if name.endswith("_kappa") else "fraction"


def quick(trial: Trial) -> Trial:
    """The same with one round of one epoch, and small teachers."""
    once = trial.config.training.model_copy(update={"epochs": 1})
    first = trial.config.teacher_training.model_copy(update={"epochs": 1})
    config = trial.config.model_copy(update={"rounds": 2, "training": once, "teacher_training": first})
    return Trial(config, trial.sites, trial.graded, trial.ordinal)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="which tasks (default: all)")
    options.add_argument("--quick", action="store_true", help="one seed of heart, two rounds; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.quick
    entries: list[Claim] = []
    for task in ["heart"] if chosen.quick else chosen.tasks:
        make, found = trials(task), list[Figures]()
        for seed in range(1 if chosen.quick else chosen.seeds):
            found.append(measure(quick(make(seed)) if chosen.quick else make(seed)))
            shown = {name: value for name, value in found[-1].items() if name.startswith("defaults_") or name.startswith("float32")}
            print(f"{task} seed {seed}: " + ", ".join(f"{name} {np.round(value, 4)}" for name, value in shown.items()), file=sys.stderr)
        entries += claims(task, found)
    report("encoding", entries, chosen)


if __name__ == "__main__":
    main()
