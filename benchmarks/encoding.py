"""What an update's encoding costs in accuracy, and what it saves in bytes, beside float32 averaging in the clear.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.encoding [--tasks heart digits retinamnist] [--seeds 5] [--json FILE]

For each seed the same hospitals with the same teachers train the same student several times, from the same first weights and
with the same random numbers; only what happens to updates differs:

- ``float32``: plain federated averaging, the reference: 4 bytes a parameter, nobody's update hidden,
- ``ring16``: a 16-bit ring without rotation, as it was before,
- ``ring8``: 8 bits, everything else as before,
- ``ring8_rotated``: 8 bits behind a random rotation,
- ``fedstill``: the defaults: 8 bits, rotation, error feedback, a clip norm that follows the updates, and packed deltas down.

Masks are left out: they cancel exactly (``benchmarks/loop.py``). ``error`` is the distance of a round's mean update from the
float mean of the same updates, relative to that and averaged over rounds; ``drift`` is the same of the sums over the run. Both
count what the adapted clip norm takes away. Bytes are those of real, masked messages of one round; ``up`` are the update's
words alone, ``up_total`` all that an institution sends, headers, counters and shares included, which a small student feels.
The defaults were chosen on seeds 100 to 104.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.averaging import ComparedAveraging, PlainAveraging
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.traffic import Traffic
from benchmarks.trials import TASKS, Trial, trials
from shared.config import AggregationSettings

_BEFORE: dict[str, Any] = {"rotation": False, "error_feedback": False, "clip_quantile": 0.0, "downlink": "full"}
REFERENCE = "float32"
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: _BEFORE,
    "ring16": {**_BEFORE, "width": 16},
    "ring8": {**_BEFORE, "width": 8},
    "ring8_rotated": {**_BEFORE, "width": 8, "rotation": True},
    "fedstill": {},
}
FLOAT_BYTES, FLOWER_BYTES = 4.0, 8.0
"""Bytes a parameter of float32 and of Flower's SecAgg+, which sends int64."""
GOAL_POINTS, GOAL_BYTES = -0.2, 1.0
POINT = 0.01

Figures = dict[str, float]


def measure(trial: Trial, folder: Path) -> dict[str, Figures]:
    """One seed: the figures of every variant by name."""
    hospitals = Hospitals.settle(trial.config, trial.sites, folder)
    found = {name: federate(trial, hospitals, name) for name in VARIANTS}
    return {name: figures | _differences(figures, found[REFERENCE]) for name, figures in found.items()}


def federate(trial: Trial, hospitals: Hospitals, variant: str) -> Figures:
    """One variant: its student's grades, how far its means were from the float ones, and bytes a parameter."""
    changed = trial.config.aggregation.model_dump() | VARIANTS[variant]
    config = trial.config.model_copy(update={"aggregation": AggregationSettings.model_validate(changed)})
    traffic, compared = Traffic(), ComparedAveraging()
    plain = variant == REFERENCE
    state = hospitals.federate(config, averaging=PlainAveraging() if plain else compared, tap=traffic)
    grades = trial.grade(hospitals.student(state))
    if plain:
        return grades
    up, size = traffic.uplink(), traffic.parameters
    sent = {"up": up.words / size, "up_total": up.total / size, "down": traffic.downlink() / size}
    return {**grades, "error": compared.error, "drift": compared.drift, **sent}


def _differences(figures: Figures, reference: Figures) -> Figures:
    points = {f"{name}_difference": (figures[name] - reference[name]) / POINT for name in ("accuracy", "kappa") if name in reference}
    return {**points, "loss_difference": figures["loss"] - reference["loss"]}


def claims(task: str, found: Sequence[Mapping[str, Figures]]) -> Iterator[Claim]:
    """All variants' figures over the seeds as claims."""
    for variant in VARIANTS:
        for name in found[0][variant]:
            if variant == REFERENCE and name.endswith("_difference"):
                continue
            unit, limits = _meaning(name, ours=variant == "fedstill")
            yield claim(f"{task}.{variant}.{name}", [one[variant][name] for one in found], unit, **limits)


def _meaning(figure: str, *, ours: bool) -> tuple[str, dict[str, float]]:
    match figure:
        case "accuracy_difference":
            return "points", {"baseline": 0.0} | ({"goal": GOAL_POINTS} if ours else {})
        case "kappa_difference":
            return "points", {"baseline": 0.0}
        case "up":
            return "bytes a parameter", {"baseline": FLOWER_BYTES} | ({"goal": GOAL_BYTES} if ours else {})
        case "up_total":
            return "bytes a parameter", {"baseline": FLOWER_BYTES}
        case "down":
            return "bytes a parameter", {"baseline": FLOAT_BYTES}
        case "error" | "drift":
            return "fraction", {}
        case "loss_difference":
            return "loss", {"baseline": 0.0}
        case _:
            return figure, {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports; ends with code 21 where no task's data is there."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="which tasks (default: all)")
    options.add_argument("--first-seed", type=int, default=0, help="default 0; the defaults were chosen on 100 to 104")
    options.add_argument("--quick", action="store_true", help="one seed, two rounds, invented photographs; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.quick
    seeds = range(chosen.first_seed, chosen.first_seed + (1 if chosen.quick else chosen.seeds))
    entries = [entry for task in chosen.tasks for entry in _try(task, seeds, quick=chosen.quick)]
    if not entries:
        raise SystemExit(21)
    report("encoding", entries, chosen)


def _try(task: str, seeds: Sequence[int], *, quick: bool) -> list[Claim]:
    try:
        made = trials(task, quick=quick)
    except SystemExit:
        return []  # which data is missing was said; the other tasks do not need it
    found = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(made(seed), Path(folder)))
        print(f"{task}, seed {seed}: " + ", ".join(_line(*variant) for variant in found[-1].items()), file=sys.stderr, flush=True)
    return [*claims(task, found)]


def _line(variant: str, figures: Figures) -> str:
    difference = "" if variant == REFERENCE else f" ({figures['accuracy_difference']:+.2f} points, loss {figures['loss_difference']:+.4f})"
    return f"{variant} {figures['accuracy']:.4f}{difference}"


if __name__ == "__main__":
    main()
