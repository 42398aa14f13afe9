"""Grading diabetic retinopathy in five hospitals: quadratic weighted kappa of central, federated and INT8 students.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.retinopathy [--data retinamnist|idrid] [--seeds 3] [--json FILE]

The training photographs are dealt to five hospitals by a seeded Dirichlet split (``alpha`` 1 a grade: seed 0 gives one hospital
4 proliferative eyes among 431, another 24 among 120); the test photographs are the set's own. Every hospital fits its own teacher.
Compared are students of one size:

- ``central``: taught on all photographs in one place by a teacher that was fitted there; and the same without a teacher,
- ``federated_without_teachers``: hard labels only,
- ``fedstill``: each hospital's own teacher, averaging with the real encoding,
- ``fedstill_int8``: its file after federated calibration, the one that the gate chooses, as onnxruntime runs it.

The claim to beat is a federated kappa of 0.87 beside a central one of 0.89: a ratio of 0.978. Sizes, rounds and rates
were chosen on validation photographs (``--validate``), never on the test.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Claim, bench_data, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.kappa import quadratic_weighted_kappa
from benchmarks.photographs import GRADES, Photographs, Source, read, synthetic
from shared.config import AggregationSettings, CompressionSettings, FederationConfig, OptimizerSettings
from shared.data import Records, Split
from shared.data.split import deal
from shared.distill.alone import train_alone
from shared.distill.teacher import fit_teacher
from shared.models import predict
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import ImageTask

HOSPITALS = 5
ALPHA = 1.0
CLAIMED_RATIO, GOAL_RATIO = 0.87 / 0.89, 0.99

Kappas = Mapping[str, float]


def federation(seed: int, size: int, rounds: int = 30) -> FederationConfig:
    """The settings of this benchmark, for photographs of ``size`` pixels."""
    return FederationConfig(
        name="retinopathy",
        seed=seed,
        rounds=rounds,
        task=ImageTask(family="image", labels=GRADES, size=size),
        teacher=NetworkSettings(width=16, depth=3, dropout=0.1),
        student=NetworkSettings(width=8, depth=2),
        teacher_training=TrainingSettings(epochs=10, batch_size=32, learning_rate=3e-3),
        training=TrainingSettings(epochs=1, batch_size=32, learning_rate=3e-3),
        distillation=DistillationSettings(soft_weight=0.5, label_correction=1.0),
        aggregation=AggregationSettings(clip_norm=3.0),
        optimizer=OptimizerSettings(name="fedavgm", momentum=0.6),
    )


def measure(photographs: Photographs, graded: Records, config: FederationConfig) -> dict[str, float]:
    """Every model's kappa on the ``graded`` records, for one seed."""
    alone = config.distillation.model_copy(update={"teacher": "none"})
    teacher = fit_teacher(photographs.train, config.task, config.teacher, config.teacher_training, seed=config.seed)
    found = {
        "central_teacher": predict(teacher, graded.inputs),
        "central": predict(train_alone(photographs.train, config, teacher, seed=config.seed), graded.inputs),
        "central_without_teacher": predict(train_alone(photographs.train, config, None, seed=config.seed), graded.inputs),
    }
    with tempfile.TemporaryDirectory() as folder:
        hospitals = Hospitals.settle(config, sites(photographs, config.seed), Path(folder))
        plain = hospitals.federate(config.model_copy(update={"distillation": alone}))
        found["federated_without_teachers"] = predict(hospitals.student(plain), graded.inputs)
        state = hospitals.federate(config, until="publish")
        found["fedstill"] = predict(hospitals.student(state), graded.inputs)
        found["fedstill_int8"] = hospitals.predict_int8(state, graded.inputs)
    kappas = {name: quadratic_weighted_kappa(graded.labels, predicted, len(GRADES)) for name, predicted in found.items()}
    ratios = {f"{name}_to_central": kappas[name] / kappas["central"] for name in ("fedstill", "fedstill_int8")}
    return {**kappas, **ratios, "int8_agreement": float(np.mean(found["fedstill_int8"] == found["fedstill"]))}


def sites(photographs: Photographs, seed: int) -> dict[str, Split]:
    """The hospitals' records: the training photographs by Dirichlet, the validation photographs in turn.

    What a hospital holds out is what its student is evaluated on between rounds and what the gate looks at.
    """
    dealt = deal(photographs.train, HOSPITALS, ALPHA, seed=seed)
    order = np.random.default_rng(seed).permutation(len(photographs.validation))
    held: list[NDArray[np.integer]] = [np.sort(order[place::HOSPITALS]) for place in range(HOSPITALS)]
    return {name: Split(train, photographs.validation.take(held[place])) for place, (name, train) in enumerate(dealt.items())}


def claims(found: Sequence[Kappas], source: str) -> list[Claim]:
    """All seeds' kappas and ratios as claims."""
    entries = []
    for name in found[0]:
        values = [kappas[name] for kappas in found]
        ratio = name.endswith("_to_central")
        against = {"baseline": CLAIMED_RATIO, "goal": GOAL_RATIO} if ratio else {}
        unit = "ratio" if ratio else "fraction" if name == "int8_agreement" else "QWK"
        entries.append(claim(f"{source}.{name}", values, unit, **against))
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--data", choices=("retinamnist", "idrid"), default="retinamnist", help="which photographs")
    options.add_argument("--validate", action="store_true", help="score on the validation photographs; nothing is kept")
    options.add_argument("--quick", action="store_true", help="one seed, two rounds, invented photographs; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.validate or chosen.quick
    source: Source = chosen.data
    photographs = synthetic() if chosen.quick else read(source, bench_data(source))
    graded = photographs.validation if chosen.validate else photographs.test
    found: list[Kappas] = []
    for seed in range(1 if chosen.quick else chosen.seeds):
        config = quick(photographs.size) if chosen.quick else federation(seed, photographs.size)
        found.append(measure(photographs, graded, config))
        print(f"seed {seed}: " + ", ".join(f"{name} {kappa:.3f}" for name, kappa in found[-1].items()), file=sys.stderr)
    report("retinopathy", claims(found, source), chosen)


def quick(size: int) -> FederationConfig:
    """The smallest settings that still do everything."""
    once = TrainingSettings(epochs=1, batch_size=32, learning_rate=3e-3)
    changes = {"teacher": NetworkSettings(width=8, depth=2), "student": NetworkSettings(width=4, depth=1), "teacher_training": once}
    # On thirty invented photographs a single one is more than any sensible limit.
    return federation(0, size, rounds=2).model_copy(update=changes | {"compression": CompressionSettings(max_drop=1.0)})


if __name__ == "__main__":
    main()
