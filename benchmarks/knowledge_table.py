"""What a table of a graph's embeddings inside the student buys, and what it costs in bytes.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.knowledge_table [--seeds 3] [--set "made up" "ffsd 87.5"] [--sizes]

Two sets of records that carry ids, each learnt by the product's transformer over columns, without a federation:

``ffsd``     S-FFSD (``benchmarks/fraud_waves.py``): amount, target, location and kind of a transaction. The graph is that of all
             transactions before the first tested one, labelled or not; no label is read for it. An id is a category where at least 5
             transactions before that have it.
``made up``  a positive control, invented: 400 drugs in 8 families that the graph ties together; a record is a drug and a number that tells
             nothing, its label the family's; 200 records to learn from, so that most drugs are hardly seen.

``none``: the student without a table; ``table``: with one of width 8; ``shuffled``: with one of the graph whose tails are dealt out anew,
so that what it gains is not knowledge. All three are trained by themselves, from equal first weights. ``bytes``: the table's;
``none.file`` and ``table.file``: the whole INT8 file without and with it; ``file``: by how many bytes it is longer. Gains are seed by seed.
With ``--sizes`` nothing is learnt (a file is as long whatever its weights are) and bytes alone are reported.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.fraud_waves import AMOUNT, COLUMNS, IDS, WAVES, recall_at, task_of
from benchmarks.harness import Claim, bench_data, claim, parser, report
from benchmarks.knowledge_fraud import STUDENT, TRAINING
from shared.compress.calibrate import ranges_of
from shared.compress.export import export_float
from shared.compress.quantise import quantise
from shared.data.records import UNLABELLED, Records
from shared.distill.teacher import own_normalisation
from shared.distill.trainer import distil
from shared.entity_table import EntityTable, entity_table
from shared.knowledge.embedding import pretrained
from shared.knowledge.student_table import compact
from shared.knowledge.transactions import TransactionGraph, causal, transaction_graph
from shared.knowledge.triples import Graph, graph_of, shuffled
from shared.models import Network, build
from shared.models.network import predict_logits
from shared.settings import DistillationSettings, EmbeddingTerms, NetworkSettings, TrainingSettings
from shared.task import CategoricalColumn, Column, NumericColumn, TabularTask

WIDTH, LEAST = 8, 5
TERMS, MANY = EmbeddingTerms(width=32, epochs=20), EmbeddingTerms(width=16, epochs=5)
GRID = "u8s8-7bit"
DRUGS, FAMILIES, LEARNT, TESTED = 400, 8, 200, 4000
SMALL = NetworkSettings(width=16, depth=2, heads=4)
FEW = TrainingSettings(epochs=30, batch_size=32, learning_rate=5e-3)
METHODS = ("none", "table", "shuffled")


@dataclass(frozen=True)
class Case:
    """Records of a ``task``, the graph as far as it was known, and the entity of each category of a column, -1 for none."""

    task: TabularTask
    train: Records
    test: Records
    graph: Graph
    entities: Mapping[str, NDArray[np.int64]]
    student: NetworkSettings
    training: TrainingSettings
    terms: EmbeddingTerms


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--set", nargs="+", default=["made up", "ffsd 87.5"], help="made up, or a cut of S-FFSD: ffsd SHARE")
    options.add_argument("--sizes", action="store_true", help="bytes alone: nothing is learnt")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    claims: list[Claim] = []
    for name in arguments.set:
        runs = []
        for seed in range(arguments.seeds):
            case = made_up(seed) if name == "made up" else transactions(name.removeprefix("ffsd "))
            runs.append({method: scored(case, method, seed, learn=not arguments.sizes) for method in METHODS})
            print(f"{name}, seed {seed}: {runs[-1]}", flush=True)
        claims += claims_of(name, runs)
    report("knowledge_table", claims, arguments)


def claims_of(name: str, runs: Sequence[Mapping[str, Mapping[str, float]]]) -> list[Claim]:
    """Each method's figures, what a table gains in points, and its bytes."""
    figures = [figure for figure in runs[0]["none"] if figure not in ("bytes", "file")]
    found = [
        claim(f"{name}.{method}.{figure}", [run[method][figure] for run in runs], figure) for method, figure in product(METHODS, figures)
    ]
    for method, figure in product(METHODS[1:], figures):
        gains = [100 * (run[method][figure] - run["none"][figure]) for run in runs]
        found.append(claim(f"{name}.{method}.{figure}.gain", gains, "points"))
    found.append(claim(f"{name}.table.bytes", [run["table"]["bytes"] for run in runs], "B"))
    found += [claim(f"{name}.{method}.file", [run[method]["file"] for run in runs], "B") for method in ("none", "table")]
    return [*found, claim(f"{name}.file", [run["table"]["file"] - run["none"]["file"] for run in runs], "B")]


def scored(case: Case, method: str, seed: int, *, learn: bool = True) -> dict[str, float]:
    """A student's figures on the tested records, or its bytes alone."""
    graph = shuffled(case.graph, seed) if method == "shuffled" else case.graph
    tables = () if method == "none" else tables_of(graph, case.entities, case.terms, seed)
    scales = own_normalisation(case.task, case.train).model_copy(update={"tables": tables})
    student = build(case.student, case.task, scales, seed=seed)
    if learn:
        distil(student, None, case.train, case.training, DistillationSettings(teacher="none"), seed=seed)
    sizes = {"bytes": float(sum(table.size for table in tables)), "file": float(file_size(student, case))}
    if not learn:
        return sizes
    logits, truth = predict_logits(student, case.test.inputs).astype(np.float64), case.test.labels
    if len(case.task.labels) > 2:
        return {"accuracy": float((logits.argmax(axis=1) == truth).mean()), **sizes}
    margin = logits[:, 1] - logits[:, 0]
    return {"auc": float(roc_auc_score(truth, margin)), "recall5": recall_at(margin, truth, 0.05), **sizes}


def tables_of(graph: Graph, entities: Mapping[str, NDArray[np.int64]], terms: EmbeddingTerms, seed: int) -> tuple[EntityTable, ...]:
    """As :func:`shared.knowledge.student_table.student_tables` makes them, for ids in place of a mapping."""
    known = np.unique(np.concatenate(list(entities.values())))
    known = known[known >= 0]
    small = compact(pretrained(graph, terms, seed)[known], WIDTH)
    rows = np.concatenate([small, np.zeros_like(small[:1])])
    return tuple(entity_table(name, rows[np.where(ids < 0, len(small), np.searchsorted(known, ids))]) for name, ids in entities.items())


def file_size(student: Network, case: Case) -> int:
    """Bytes of the INT8 file."""
    content = export_float(student, case.task)
    return len(quantise(content, ranges_of(content, case.train.inputs[:512]), GRID))


def transactions(wave: str) -> Case:
    """S-FFSD at a cut."""
    with (bench_data("sffsd") / "S-FFSD.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = {name: [row[name] for row in rows] for name in rows[0]}
    found, amounts = transaction_graph(COLUMNS, table), np.array(table["Amount"], dtype=np.float64)
    labels = np.array([UNLABELLED if text == "2" else int(text) for text in table["Labels"]], dtype=np.int64)
    known = np.flatnonzero(labels != UNLABELLED)
    first, last = (int(len(known) * share) for share in WAVES[wave])
    train, test = known[:first], known[first:last]
    columns, inputs, entities = _inputs(found, amounts, int(test[0]))
    graph = causal(found.graph, int(found.times[test[0]]), COLUMNS.window).firsts()
    undated = Graph(graph.entities, graph.relations, graph.triples.copy(), graph.weights.copy())
    parts = [Records(np.ascontiguousarray(inputs[part]), labels[part]) for part in (train, test)]
    return Case(task_of(columns), parts[0], parts[1], undated, entities, STUDENT, TRAINING, MANY)


def _inputs(
    found: TransactionGraph, amounts: NDArray[np.float64], before: int
) -> tuple[tuple[Column, ...], NDArray[np.float32], dict[str, NDArray[np.int64]]]:
    columns: list[Column] = [NumericColumn(name=name) for name in AMOUNT]
    values, entities = [np.log1p(amounts), (amounts == 0).astype(np.float64)], {}
    for place, name in enumerate(IDS, start=1):
        ids = found.entities[:, place]
        seen, counts = np.unique(ids[:before], return_counts=True)
        entities[name] = seen[(seen >= 0) & (counts >= LEAST)]
        columns.append(CategoricalColumn(kind="categorical", name=name, categories=tuple(str(one) for one in entities[name])))
        where = np.minimum(np.searchsorted(entities[name], ids), len(entities[name]) - 1)
        values.append(np.where(entities[name][where] == ids, where, np.nan))
    return tuple(columns), np.column_stack(values).astype(np.float32), entities


def made_up(seed: int) -> Case:
    """The control."""
    random = np.random.default_rng(seed)
    families = random.integers(0, FAMILIES, DRUGS)
    rows = []
    for drug, family in enumerate(families):
        rows += [(f"drug {drug}", "interacts", f"drug {other}", 1.0) for other in random.choice(np.flatnonzero(families == family), 4)]
        rows += [(f"drug {drug}", "interacts", f"drug {random.integers(DRUGS)}", 1.0)]
    graph = graph_of(rows)
    labels = tuple(f"family {one}" for one in range(FAMILIES))
    drugs = CategoricalColumn(kind="categorical", name="drug", categories=tuple(str(one) for one in range(DRUGS)))
    task = TabularTask(family="tabular", label="family", labels=labels, columns=(drugs, NumericColumn(name="dose")))

    def records(count: int) -> Records:
        taken = random.integers(0, DRUGS, count)
        return Records(np.column_stack([taken, random.normal(size=count)]).astype(np.float32), families[taken].astype(np.int64))

    entities = {"drug": np.array([graph.ids[f"drug {one}"] for one in range(DRUGS)])}
    return Case(task, records(LEARNT), records(TESTED), graph, entities, SMALL, FEW, TERMS)


if __name__ == "__main__":
    main()
