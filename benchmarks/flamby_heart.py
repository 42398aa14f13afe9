"""FLamby's Fed-Heart-Disease by its published protocol, and fedstill on the same records, rounds and updates.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.flamby_heart [--seeds 5] [--json FILE] [--validate] [--quick]

Published (FLamby's result files, 5 seeds, accuracy, mean of the four clients): pooled 0.735, FedAvg 0.685, best
federated 0.731. The logistic baselines are measured here again, as a check that the protocol is the same
(``benchmarks/flamby.py``). Two scalings are reported, because they decide more than any method does:

- ``centre``: FLamby's own, every centre by its own training records. It hides how ill each hospital's patients are.
- ``shared``: one scaling for all, which fedstill gets from masked sums; its student takes raw records.

fedstill stays within the 100 local updates of 4 records that FLamby allows a round: it makes 2 epochs in updates of 8
records (50, 44, 8 and 22 updates), with the real encoding and the product's server optimisers. FLamby has no
validation records; what can be chosen was chosen by ``--validate``, which puts the test records away and holds out a
third of each training set instead. That third is 165 records, 11 of them Swiss: it tells large differences only.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks import flamby, logistic
from benchmarks.flamby import Centre
from benchmarks.harness import Claim, bench_data, claim, parser, report
from benchmarks.hospitals import Hospitals
from shared.config import AggregationSettings, FederationConfig, OptimizerSettings
from shared.data import Records, Split
from shared.distill import evaluate
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.sources import SplitSettings
from shared.task import NumericColumn, TabularTask

COLUMNS = tuple(NumericColumn(name=name) for name in flamby.FEATURES)
TASK = TabularTask(family="tabular", label="disease", labels=("no", "yes"), columns=COLUMNS)
PUBLISHED = {"fedavg": 0.685, "best_federated": 0.731, "pooled": 0.735}
"""FLamby's accuracies, mean of clients."""

Scores = Mapping[str, float]
"""Accuracy by centre, ``mean`` of the centres, and ``pooled_test``: of all test records together."""


def federation(seed: int, rounds: int = flamby.ROUNDS) -> FederationConfig:
    """The settings of this benchmark."""
    return FederationConfig(
        name="flamby-heart",
        seed=seed,
        rounds=rounds,
        task=TASK,
        split=SplitSettings(test_fraction=1.0 - flamby.TRAIN_FRACTION),
        teacher=NetworkSettings(width=48, depth=2, heads=4),
        student=NetworkSettings(width=16, depth=1, heads=4),
        teacher_training=TrainingSettings(epochs=30, batch_size=16, learning_rate=1e-3),
        training=TrainingSettings(epochs=2, batch_size=2 * flamby.BATCH, learning_rate=5e-3),
        distillation=DistillationSettings(soft_weight=0.3),
        aggregation=AggregationSettings(clip_norm=5.0),
    )


def variants(config: FederationConfig) -> dict[str, FederationConfig]:
    """The federations that are compared; all but the second have teachers."""
    alone = config.distillation.model_copy(update={"teacher": "none"})
    return {
        "fedstill": config,
        "fedstill_without_teachers": config.model_copy(update={"distillation": alone}),
        "fedstill_fedadam": config.model_copy(update={"optimizer": OptimizerSettings(name="fedadam", learning_rate=0.03)}),
        "fedstill_fedyogi": config.model_copy(update={"optimizer": OptimizerSettings(name="fedyogi", learning_rate=0.03)}),
    }


def measure(centres: Mapping[str, Centre], config: FederationConfig) -> dict[str, Scores]:
    """Every method's scores for one seed, named ``METHOD.SCALING``."""
    own, shared = flamby.scaled(centres), flamby.scaled_together(centres)
    # FLamby trains its pooled model on records that are scaled together, and tests it on each centre's own scaling.
    epochs = flamby.POOLED_EPOCHS * config.rounds // flamby.ROUNDS
    pooled = logistic.pooled([centre.train for centre in shared.values()], config.seed, epochs=epochs)
    found = {}
    for scaling, scaled in (("centre", own), ("shared", shared)):
        federated = logistic.fedavg([centre.train for centre in scaled.values()], config.seed, rounds=config.rounds)
        found[f"logistic_fedavg.{scaling}"] = score(scaled, federated)
        found[f"logistic_pooled.{scaling}"] = score(scaled, pooled)
    # The published server optimisers worked on FLamby's scaling.
    methods = variants(config)
    few = {name: methods[name] for name in ("fedstill", "fedstill_without_teachers")}
    for scaling, records, compared in (("centre", own, methods), ("shared", centres, few)):
        found |= {f"{name}.{scaling}": scores for name, scores in federate(records, compared).items()}
    return found


def federate(centres: Mapping[str, Centre], methods: Mapping[str, FederationConfig]) -> dict[str, Scores]:
    """Federations over the centres; they share one seed's teachers."""
    sites = {name: Split(*(Records(part.inputs, part.labels) for part in (centre.train, centre.test))) for name, centre in centres.items()}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        hospitals = Hospitals.settle(methods["fedstill"], sites, Path(folder))
        for name, variant in methods.items():
            student = hospitals.student(hospitals.federate(variant))
            found[name] = _summary({site: evaluate(student, split.test, 2).accuracy for site, split in sites.items()}, centres)
    return found


def score(centres: Mapping[str, Centre], model: nn.Linear) -> Scores:
    """The scores of a logistic model."""
    right = {name: logistic.predictions(model, centre.test.inputs) == centre.test.labels for name, centre in centres.items()}
    return _summary({name: float(np.mean(found)) for name, found in right.items()}, centres)


def claims(found: Sequence[Mapping[str, Scores]]) -> list[Claim]:
    """All seeds' scores as claims: means of clients and pooled test of every method, and fedstill's centres."""
    entries = []
    for method in found[0]:
        name = method.split(".")[0]
        goals = {"logistic_fedavg": ("fedavg", None), "logistic_pooled": ("pooled", None)}.get(name, ("best_federated", "pooled"))
        baseline, goal = (PUBLISHED[key] if key else None for key in goals)
        for part in found[0][method] if name == "fedstill" else ("mean", "pooled_test"):
            values = [scores[method][part] for scores in found]
            against = {"baseline": baseline, "goal": goal} if part == "mean" else {}
            entries.append(claim(f"{method}.{part}", values, "accuracy", **against))
    return entries


def synthetic() -> dict[str, Centre]:
    """Invented centres with a line to find, for a quick trial without data."""
    random = np.random.default_rng(0)
    centres = {}
    for name, count in zip(flamby.CENTRES, (40, 32, 24, 28), strict=True):
        inputs = random.normal(size=(count, len(flamby.FEATURES))).astype(np.float32)
        centres[name] = flamby.split(flamby.Part(inputs, (inputs[:, 0] > inputs[:, 5]).astype(np.int64)), flamby.SPLIT_SEED)
    return centres


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--validate", action="store_true", help="score on records held out of the training sets; nothing is kept")
    options.add_argument("--quick", action="store_true", help="one seed, two rounds, invented records; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.validate or chosen.quick
    centres = synthetic() if chosen.quick else flamby.read_centres(bench_data("heart_raw"))
    found: list[Mapping[str, Scores]] = []
    for seed in range(1 if chosen.quick else chosen.seeds):
        held = flamby.validation(centres, seed) if chosen.validate else centres
        found.append(measure(held, federation(seed, 2) if chosen.quick else federation(seed)))
        means = ", ".join(f"{method} {scores['mean']:.3f}" for method, scores in found[-1].items())
        print(f"seed {seed}: {means}", file=sys.stderr)
    report("flamby_heart", claims(found), chosen)


def _summary(accuracy: Mapping[str, float], centres: Mapping[str, Centre]) -> Scores:
    sizes = [len(centres[name].test.labels) for name in accuracy]
    values = list(accuracy.values())
    return {**accuracy, "mean": float(np.mean(values)), "pooled_test": float(np.average(values, weights=sizes))}


if __name__ == "__main__":
    main()
