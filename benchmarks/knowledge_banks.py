"""Banks that link their own transactions by ids, in a federation: what the figures buy a student that none of them could train alone.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.knowledge_banks [--seeds 3] [--wave 87.5]

S-FFSD (``benchmarks/fraud_waves.py``), its sources dealt to four banks by the seed: a bank has all transactions that its own clients pay,
and nobody else's. Learnt from what lies before the cut in time, tested on all that follows, all banks' together. The product's rounds, ring
and deltas without masks, which cancel; hard labels alone; settings as of ``benchmarks/knowledge_fraud.py``, none chosen here.

``plain``    amount, ids (those with 5 labelled transactions before the cut) and how often source, target, location and kind were seen
``linked``   no ids, but the figures of behaviour that ``data.transactions`` gives each bank of its own rows
``whole``    the same figures of all banks' rows together, which no bank has: what keeping graphs at home costs
``boosting``, ``boosting_linked``: LightGBM on the inputs of ``plain`` and ``linked`` of all banks in one place

``recall1`` and ``recall5``: at 1 and 5 % false positives. Gains are over ``plain``, in points, seed by seed.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.fraud_waves import AMOUNT, GRAPH, IDS, RAREST, TOTALS, WAVES, WINDOWS, recall_at
from benchmarks.harness import Claim, bench_data, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.knowledge_fraud import BOOSTING, FIXED, STUDENT, TRAINING
from fedstill.workspace import prepare
from shared.config import FederationConfig
from shared.data import Records, Split
from shared.data.csvfile import read_csv, read_csv_sites
from shared.data.records import UNLABELLED, joined, labelled
from shared.models.network import predict_logits
from shared.settings import DistillationSettings
from shared.sources import CsvData, SplitSettings
from shared.task import TabularTask

BANKS = 4
LINKS = {"source": "payer", "target": "payee", "location": "place", "kind": "sort", "time": "time", "amount": "paid"}
PLAIN, LINKED = (*AMOUNT, *IDS, *TOTALS), GRAPH
FIGURES = ("auc", "recall1", "recall5")
Site = Mapping[str, Split]


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--wave", default="87.5", choices=WAVES, help="the cut, a share of the labelled transactions")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    runs = []
    for seed in range(arguments.seeds):
        runs.append(measured(arguments.wave, seed))
        print(f"seed {seed}: {runs[-1]}", flush=True)
    report("knowledge_banks", claims_of(arguments.wave, runs), arguments)


def measured(wave: str, seed: int) -> dict[str, dict[str, float]]:
    """The figures of each method."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, cut = written(folder / "paid.csv", wave, seed)
        found = {}
        for method, names in (("plain", PLAIN), ("linked", LINKED), ("whole", LINKED)):
            task = task_of(names, rows, cut)
            sites = split(folder / "paid.csv", task, cut, rows, together=method == "whole")
            found[method] = graded(*federated(task, sites, seed, folder / method))
            if method != "whole":
                found["boosting" if method == "plain" else f"boosting_{method}"] = graded(*boosted(names, sites, seed))
        return found


def written(path: Path, wave: str, seed: int) -> tuple[list[dict[str, str]], int]:
    """The transactions with whose each is, as a file that the product reads, and the row from which on it is tested."""
    with (bench_data("sffsd") / "S-FFSD.csv").open(newline="") as file:
        given = list(csv.DictReader(file))
    known = [place for place, row in enumerate(given) if row["Labels"] != "2"]
    cut = known[int(len(known) * WAVES[wave][0])]
    random = np.random.default_rng(seed)
    owner = {name: f"bank-{random.integers(BANKS)}" for name in dict.fromkeys(row["Source"] for row in given)}
    common = {place: Counter(row[place] for row in (given[one] for one in known if one < cut)) for place in ("Target", "Location", "Type")}
    rows = []
    for row in given:
        ids = {name: row[place] if common[place][row[place]] >= RAREST else "" for name, place in zip(IDS, common, strict=True)}
        paid = float(row["Amount"])
        rows.append(
            {"bank": owner[row["Source"]], "payer": row["Source"], "payee": row["Target"], "place": row["Location"], "sort": row["Type"]}
            | {"time": row["Time"], "paid": row["Amount"], "amount": repr(float(np.log1p(paid))), "nothing": str(int(paid == 0))}
            | ids
            | {"fraud": {"0": "no", "1": "yes"}.get(row["Labels"], "")}
        )
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows, cut


def task_of(names: Sequence[str], rows: Sequence[Mapping[str, str]], cut: int) -> TabularTask:
    """Fraud or not from these columns; categories are those of rows before the cut."""
    columns = [
        {"kind": "categorical", "name": name, "categories": sorted({row[name] for row in rows[:cut]} - {""})}
        if name in IDS
        else {"name": name}
        for name in names
    ]
    return TabularTask.model_validate({"family": "tabular", "label": "fraud", "labels": ("no", "yes"), "columns": columns})


def split(path: Path, task: TabularTask, cut: int, rows: Sequence[Mapping[str, str]], *, together: bool) -> Site:
    """Each bank's labelled transactions before and from the cut; ``together`` links all banks' rows to one another."""
    links = LINKS | {"windows": WINDOWS, "pairs": [("target", "kind")]}
    data = CsvData.model_validate({"source": "csv", "path": path, "unlabelled": True, "site_column": "bank", "transactions": links})
    places = {
        bank: np.array([place for place, row in enumerate(rows) if row["bank"] == bank]) for bank in sorted({row["bank"] for row in rows})
    }
    if together:
        whole = read_csv(data, task)
        parts = {bank: whole.take(own) for bank, own in places.items()}
    else:
        parts = read_csv_sites(data, task, "bank")
    return {
        bank: Split(labelled(records.take(np.flatnonzero(places[bank] < cut))), labelled(records.take(np.flatnonzero(places[bank] >= cut))))
        for bank, records in parts.items()
    }


def federated(task: TabularTask, sites: Site, seed: int, folder: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The federation's student: its margins on all banks' tested transactions, and the truth."""
    config = FederationConfig(
        name="banks",
        seed=seed,
        rounds=TRAINING.epochs,
        task=task,
        split=SplitSettings(),
        student=STUDENT,
        training=TRAINING.model_copy(update={"epochs": 1, "batch_size": TRAINING.batch_size // BANKS}),
        distillation=DistillationSettings(teacher="none"),
    )
    hospitals = Hospitals(config, prepare(config, folder, sites))
    test = later_of(sites)
    logits = predict_logits(hospitals.student(hospitals.federate(config)), test.inputs).astype(np.float64)
    return logits[:, 1] - logits[:, 0], test.labels


def boosted(names: Sequence[str], sites: Site, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same of LightGBM on all records in one place; ids are categories to it."""
    train, test = joined([one.train for one in sites.values()]), later_of(sites)
    settings = next(settings for columns, settings in BOOSTING.items() if set(columns) == set(names))
    model = lightgbm.LGBMClassifier(random_state=seed, **{**FIXED, **settings})
    model.fit(train.inputs, train.labels, categorical_feature=[place for place, name in enumerate(names) if name in IDS])
    return np.asarray(model.predict(test.inputs, raw_score=True), dtype=np.float64), test.labels


def later_of(sites: Site) -> Records:
    """All banks' tested transactions."""
    found = joined([one.test for one in sites.values()])
    assert (found.labels != UNLABELLED).all()
    return found


def graded(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> dict[str, float]:
    """AUC, and recall at 1 and 5 % false positives."""
    return {
        "auc": float(roc_auc_score(truth, scores)),
        "recall1": recall_at(scores, truth, 0.01),
        "recall5": recall_at(scores, truth, 0.05),
    }


def claims_of(wave: str, runs: Sequence[Mapping[str, Mapping[str, float]]]) -> list[Claim]:
    """Each method's figures, and what each gains over the plain student."""
    found = [claim(f"{wave}.{method}.{name}", [run[method][name] for run in runs], name) for method, name in product(runs[0], FIGURES)]
    for method, name in product(("linked", "whole", "boosting_linked"), FIGURES):
        found.append(claim(f"{wave}.{method}.{name}.gain", [100 * (run[method][name] - run["plain"][name]) for run in runs], "points"))
    return found


if __name__ == "__main__":
    main()
