"""One student for four plants: 23 classes of defect in four heads, beside four students of the same size that each know one plant.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.plants [--seeds 3] [--json FILE]

Every plant has records of its own head only, fits its own teacher and never shows them. Compared by macro F1 on each plant's test records
(``benchmarks/defects.py``), each within its head:

- ``teacher``: the plant's own,
- ``single``: a student of the plant's own records and teacher alone; four of them,
- ``one``: one student, federated with one plant a client: a quarter of the four's parameters together,
- ``one_int8``: its file after federated calibration, the one that the gate chooses, as onnxruntime runs it.

All students have the same settings and look at each record equally often. Rounds and rates were chosen on what plants hold out between
rounds (``--validate``), never on the test.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.defects import HEADS, SOURCES, TASK, Defects, Plant, plants, read, synthetic
from benchmarks.harness import Claim, bench_data, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.subjects import lite0
from shared.config import AggregationSettings, CompressionSettings, FederationConfig, OptimizerSettings
from shared.data import Records
from shared.distill.alone import train_alone
from shared.distill.evaluation import score
from shared.distill.teacher import load_teacher
from shared.models import count_parameters
from shared.models.network import predict_logits
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings

Figures = Mapping[str, float]
Says = Callable[[NDArray[Any]], NDArray[np.float32]]
"""A model's logits ``(records, labels)`` of raw records."""


def federation(seed: int, rounds: int = 24) -> FederationConfig:
    """The settings of this benchmark: the student starts as the first five blocks of EfficientNet-lite0, which every plant may have."""
    return FederationConfig(
        name="plants",
        seed=seed,
        rounds=rounds,
        task=TASK,
        teacher=NetworkSettings(width=16, depth=3, dropout=0.1),
        student=NetworkSettings(width=32, depth=5, architecture="mobile"),
        initial_path=lite0(),
        teacher_training=TrainingSettings(epochs=20, batch_size=32, learning_rate=3e-3),
        training=TrainingSettings(epochs=1, batch_size=16, learning_rate=1e-3, weight_decay=2e-2),
        distillation=DistillationSettings(soft_weight=0.3),
        # Each plant has a head of its own, and allows that its sums show its own update of it; by records, the
        # tiles would count a fifteenth.
        aggregation=AggregationSettings(clip_norm=8.0, lone_heads=True, weighting="equal"),
        optimizer=OptimizerSettings(name="fedavgm", momentum=0.6),
    )


def measure(found: Mapping[str, Plant], config: FederationConfig, *, validate: bool = False) -> dict[str, float]:
    """Every model's macro F1 at each plant and their mean over plants, for one seed."""
    graded = {name: plant.site.test if validate else plant.test for name, plant in found.items()}
    with tempfile.TemporaryDirectory() as folder:
        hospitals = Hospitals.settle(config, {name: plant.site for name, plant in found.items()}, Path(folder))
        teachers = {name: load_teacher(home / "teacher") for name, home in hospitals.workspace.institutions.items()}
        singles = {name: train_alone(plant.site.train, config, teachers[name], seed=config.seed) for name, plant in found.items()}
        state = hospitals.federate(config, until="publish")
        one, files = hospitals.student(state), hospitals.int8(state)
    scores = {
        "teacher": {name: macro_f1(_says(teachers[name]), graded[name]) for name in found},
        "single": {name: macro_f1(_says(singles[name]), graded[name]) for name in found},
        "one": {name: macro_f1(_says(one), graded[name]) for name in found},
        "one_int8": {name: macro_f1(files, graded[name]) for name in found},
    }
    figures = {f"{model}.{name}": value for model, by_plant in scores.items() for name, value in by_plant.items()}
    means = {f"{model}.mean": float(np.mean(list(by_plant.values()))) for model, by_plant in scores.items()}
    sizes = {"parameters.single_all": 4.0 * count_parameters(singles["steel"]), "parameters.one": float(count_parameters(one))}
    return {**figures, **means, "one_minus_single.mean": means["one.mean"] - means["single.mean"], **sizes}


def macro_f1(says: Says, records: Records) -> float:
    """Of the records' own head, each answered within it."""
    return score(says(records.inputs), records.labels, len(TASK.labels), HEADS).macro_f1


def claims(found: Sequence[Figures]) -> list[Claim]:
    """All seeds' figures as claims; the one student's stand beside those of the single ones."""
    entries = []
    for name in found[0]:
        model, _, plant = name.partition(".")
        against = {"baseline": float(np.median([figures[f"single.{plant}"] for figures in found]))} if model in ("one", "one_int8") else {}
        unit = "parameters" if model == "parameters" else "macro F1"
        entries.append(claim(name, [figures[name] for figures in found], unit, **against))
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--validate", action="store_true", help="score on what plants hold out between rounds; nothing is kept")
    options.add_argument("--quick", action="store_true", help="one seed, two rounds, invented images; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.validate or chosen.quick
    records = synthetic() if chosen.quick else real()
    found: list[Figures] = []
    for seed in range(1 if chosen.quick else chosen.seeds):
        found.append(measure(plants(records, seed), quick() if chosen.quick else federation(seed), validate=chosen.validate))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in found[-1].items()), file=sys.stderr)
    report("plants", claims(found), chosen)


def real() -> dict[str, Defects]:
    """The four sets; says loudly which is missing, and ends with code 21."""
    folders = [bench_data(path.split("/")[0]) for path, _ in SOURCES.values()]
    return read(folders[0].parent)


def quick() -> FederationConfig:
    """The smallest settings that still do everything."""
    once = TrainingSettings(epochs=1, batch_size=32, learning_rate=3e-3)
    nets = {"teacher": NetworkSettings(width=8, depth=2), "student": NetworkSettings(width=4, depth=1)}
    changes: dict[str, object] = {**nets, "teacher_training": once, "initial_path": None}
    # On a few invented images a single one is more than any sensible limit.
    return federation(0, rounds=2).model_copy(update=changes | {"compression": CompressionSettings(max_drop=1.0)})


def _says(model: nn.Module) -> Says:
    return lambda inputs: predict_logits(model, inputs)


if __name__ == "__main__":
    main()
