"""A new fraud wave: what the graph of past transactions adds to a student that must find frauds of a kind hardly seen.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.knowledge_fraud [--seeds 5] [--wave 87.5 50 70] [--no-raw] [--design] [--boosting-grid]

S-FFSD (``benchmarks/fraud_waves.py``): learn from the first 50, 70 or 87.5 % of the labelled transactions in time, test on all that
follow. Every figure of the graph at a transaction rests on earlier transactions alone; labels are those of the training part. The
student is the product's transformer over columns, the same for all but its input:

``raw``             amount, target, location and kind of the transaction
``raw_taught``      the same, and in the loss the answers of ``graph`` on labelled and unlabelled transactions: knowledge in training alone
``raw_shuffled``    the same with the answers of ``shuffled``
``alone``           raw, and how often source, target, location and kind were seen before: the student without knowledge
``nameless``        the same without the ids: what leaving them out does, for ids of a new wave mislead
``amount``          the amount alone
``graph``           no ids, but behaviour in the graph within windows of time (``shared/knowledge/behaviour.py``), computed on site
``shuffled``        ``graph``, with the entities of transactions dealt out anew among each thousand: what survives is not knowledge
``boosting``        LightGBM on the input of ``alone``
``boosting_graph``  LightGBM on the input of ``graph``

``recall1`` and ``recall5``: at 1 and 5 % false positives. ``alarms``: false positives at half of the frauds found. ``f1``: at the
threshold that is best on the training part. ``a.recall5.over_b``: what a gains over b of the same seed; ``a.alarms.over_b``: its false
positives at the recall that b has at 5 % of them, against that 5 %.
``--design`` reports the cuts within the first seven eighths on which all choices were made; ``--boosting-grid`` tries LightGBM's settings
on them.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.fraud_waves import (
    AMOUNT,
    COUNTS,
    DESIGN,
    GRAPH,
    IDS,
    RAW,
    TOTALS,
    WAVES,
    Ledger,
    Wave,
    alarms_at,
    best_threshold,
    grades,
    read_ledgers,
    recall_at,
    task_of,
)
from benchmarks.harness import Claim, claim, parser, report
from shared.config import FederationConfig
from shared.data.records import Records
from shared.distill.alone import distil_alone
from shared.distill.targets import HeldTargets, Targets
from shared.models.features import Features
from shared.models.network import predict_logits
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings

STUDENT = NetworkSettings(width=16, depth=2, heads=4, dropout=0.1)
TRAINING = TrainingSettings(epochs=4, batch_size=512, learning_rate=5e-3, weight_decay=0.1)
SOFT_WEIGHT = 0.7
BOOSTING: Mapping[Sequence[str], Mapping[str, Any]] = {
    COUNTS: {"n_estimators": 100, "num_leaves": 7},
    GRAPH: {"n_estimators": 200, "num_leaves": 31},
}
"""Of each input those with the best mean AUC over the cuts of the design."""
GRID = {"n_estimators": (100, 200, 400), "num_leaves": (7, 15, 31)}
FIXED: Mapping[str, Any] = {
    **{"learning_rate": 0.05, "min_child_samples": 50, "subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.5},
    **{"reg_lambda": 5.0, "n_jobs": 1, "verbose": -1},
}
BOOSTED = {"50": 0.841, "70": 0.758, "87.5": 0.622}
"""AUC of gradient boosting on counts as first given for these data."""
RECALL_GOAL, ALARMS_GOAL = 27.0, -35.0
UNITS = {"auc": "AUC", "f1": "F1", "recall1": "recall", "recall5": "recall", "alarms": "share"}
EQUAL = 0.05
COMPARED = (
    *(("graph", "alone"), ("graph", "nameless"), ("graph", "shuffled"), ("nameless", "alone"), ("shuffled", "alone")),
    *(("boosting_graph", "alone"), ("raw_taught", "raw"), ("raw_shuffled", "raw")),
)
"""A method and the student that it is held against; the goals are those of the first and of ``raw_taught``."""
WITH_GOALS = (("graph", "alone"), ("raw_taught", "raw"))
LEAST = 1e-3
"""A recall below this counts as this in a gain: a gain over nothing would have no bound."""


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--design", action="store_true", help="the cuts that choices were made on, none of which has the last eighth")
    options.add_argument("--wave", nargs="+", metavar="SHARE", help="which cuts (default all)")
    options.add_argument("--no-raw", action="store_true", help="without the students that see raw columns alone")
    options.add_argument("--boosting-grid", action="store_true", help="only show LightGBM's settings on the cuts of --design")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    if arguments.boosting_grid:
        return show_grid()
    waves = DESIGN if arguments.design else WAVES
    chosen = {name: waves[name] for name in arguments.wave or waves}
    return report("knowledge_fraud", measured(chosen, arguments), arguments)


def measured(waves: Mapping[str, Wave], arguments: argparse.Namespace) -> list[Claim]:
    """The claims of each wave."""
    claims: list[Claim] = []
    for name, wave in waves.items():
        runs = []
        for seed in range(arguments.seeds):
            real, dealt = read_ledgers(seed)
            runs.append(compared(scored(real, dealt, wave, seed, raw=not arguments.no_raw)))
            print(f"{name} %, seed {seed}: " + "; ".join(f"{one} {_shown(found)}" for one, found in runs[-1].items()), flush=True)
        claims.extend(claims_of(name, runs, None if arguments.design else BOOSTED.get(name)))
    return claims


def _shown(found: Mapping[str, float]) -> str:
    return " ".join(f"{found[name]:.3f}" for name in UNITS)


@dataclass(frozen=True)
class Answers:
    """A method's scores of the training and the test rows."""

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    truth: NDArray[np.int64]
    known: NDArray[np.int64]


def scored(real: Ledger, dealt: Ledger, wave: Wave, seed: int, *, raw: bool) -> dict[str, Answers]:
    """The answers of each method, with ``raw`` those of the students that see raw columns alone too."""
    train, test = real.parts(wave)
    wider = np.concatenate([train, real.unlabelled(int(test[0]), len(train), seed)])
    asked = np.concatenate([wider, test])
    scores: dict[str, NDArray[Any]] = {
        "alone": student(real, COUNTS, train, asked, seed),
        "nameless": student(real, (*AMOUNT, *TOTALS), train, asked, seed),
        "graph": student(real, GRAPH, train, asked, seed),
        "shuffled": student(dealt, GRAPH, train, asked, seed),
        "boosting": boosted(real, COUNTS, train, seed),
        "boosting_graph": boosted(real, GRAPH, train, seed),
    }
    if raw:
        scores["amount"] = student(real, AMOUNT, train, asked, seed)
        scores["raw"] = student(real, RAW, train, asked, seed)
        scores["raw_taught"] = student(real, RAW, wider, asked, seed, teacher=scores["graph"])
        scores["raw_shuffled"] = student(real, RAW, wider, asked, seed, teacher=scores["shuffled"])
    truth, known = real.labels[test], real.labels[train]
    return {name: Answers(_margin(logits)[train], _margin(logits)[test], truth, known) for name, logits in scores.items()}


def _margin(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    return (logits[:, 1] - logits[:, 0]).astype(np.float64)


def student(
    ledger: Ledger,
    names: Sequence[str],
    rows: NDArray[np.int64],
    asked: NDArray[np.int64],
    seed: int,
    teacher: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """A student that learns from ``rows``, with a teacher's logits ``(n, 2)`` beside the labels where there is one.

    Its logits ``(n, 2)`` for the transactions at ``asked``, NaN for the others.
    """
    columns, inputs = ledger.table(names, rows)
    kind, weight = ("none", 0.0) if teacher is None else ("own", SOFT_WEIGHT)
    config = FederationConfig(
        name="fraud",
        task=task_of(columns),
        student=STUDENT,
        training=TRAINING,
        distillation=DistillationSettings.model_validate(
            {"teacher": kind, "temperature": 1.0, "soft_weight": weight, "hidden_weight": 0.0, "attention_weight": 0.0}
        ),
    )
    targets: Targets | None = None if teacher is None else HeldTargets(Features(torch.from_numpy(teacher[rows])))
    records = Records(np.ascontiguousarray(inputs[rows]), ledger.labels[rows])
    found, _ = distil_alone(records, config, targets, epochs=TRAINING.epochs, seed=seed)
    logits = np.full((len(inputs), 2), np.nan, dtype=np.float32)
    logits[asked] = predict_logits(found, inputs[asked])
    return logits


def boosted(
    ledger: Ledger, names: Sequence[str], rows: NDArray[np.int64], seed: int, settings: Mapping[str, Any] | None = None
) -> NDArray[np.float64]:
    """The same of LightGBM; ids are categories to it."""
    _, inputs = ledger.table(names, rows)
    model = lightgbm.LGBMClassifier(random_state=seed, **{**FIXED, **(BOOSTING[names] if settings is None else settings)})
    closed = [place for place, name in enumerate(names) if name in IDS]
    model.fit(inputs[rows], ledger.labels[rows], categorical_feature=closed)
    raw = np.asarray(model.predict(inputs, raw_score=True), dtype=np.float64)
    return np.column_stack([np.zeros_like(raw), raw])


def compared(answers: Mapping[str, Answers]) -> dict[str, dict[str, float]]:
    """The grades of each method, and for each pair of :data:`COMPARED` the false alarms at the other's recall."""
    found = {name: grades(one.test, one.truth, best_threshold(one.train, one.known)) for name, one in answers.items()}
    for method, base in COMPARED:
        if method in answers:
            recall = recall_at(answers[base].test, answers[base].truth, EQUAL)
            found[method][f"alarms.{base}"] = alarms_at(answers[method].test, answers[method].truth, recall)
    return found


Run = Mapping[str, Mapping[str, float]]


def claims_of(wave: str, runs: Sequence[Run], boosted_auc: float | None) -> list[Claim]:
    """Each method's figures, and what it gains, seed by seed."""
    claims = []
    for method, (name, unit) in product(runs[0], UNITS.items()):
        baseline = boosted_auc if (method, name) == ("boosting", "auc") else None
        claims.append(claim(f"{wave}.{method}.{name}", [run[method][name] for run in runs], unit, baseline=baseline))
    for method, base in COMPARED:
        if method in runs[0]:
            claims.extend(_gains(wave, method, base, runs))
    for rival in ("boosting", "boosting_graph"):
        points = [100 * (run["graph"]["auc"] - run[rival]["auc"]) for run in runs]
        claims.append(claim(f"{wave}.graph.auc.over_{rival}", points, "points", goal=0.0))
    return claims


def _gains(wave: str, method: str, base: str, runs: Sequence[Run]) -> list[Claim]:
    recall_goal, alarms_goal = (RECALL_GOAL, ALARMS_GOAL) if (method, base) in WITH_GOALS else (None, None)
    claims = []
    for name in ("recall1", "recall5"):
        gains = [100 * (run[method][name] / max(run[base][name], LEAST) - 1) for run in runs]
        reference = statistics.median(run[base][name] for run in runs)
        claims.append(claim(f"{wave}.{method}.{name}.over_{base}", gains, "%", baseline=reference, goal=recall_goal))
    fewer = [100 * (run[method][f"alarms.{base}"] / EQUAL - 1) for run in runs]
    return [*claims, claim(f"{wave}.{method}.alarms.over_{base}", fewer, "%", baseline=EQUAL, goal=alarms_goal)]


def show_grid() -> None:
    """Mean AUC and recall at 5 % over the cuts of :data:`DESIGN`, for each setting and input."""
    real, _ = read_ledgers(0)
    for names, settings in product((COUNTS, GRAPH), product(*GRID.values())):
        chosen = dict(zip(GRID, settings, strict=True))
        found = []
        for wave in DESIGN.values():
            train, test = real.parts(wave)
            scores, truth = _margin(boosted(real, names, train, 0, chosen))[test], real.labels[test]
            found.append([grades(scores, truth, 0.0)["auc"], recall_at(scores, truth, EQUAL)])
        area, recall = np.mean(found, axis=0)
        print(f"{'counts' if names is COUNTS else 'graph'} {chosen}: AUC {area:.3f}, recall at 5 % {recall:.3f}", flush=True)


if __name__ == "__main__":
    main()
