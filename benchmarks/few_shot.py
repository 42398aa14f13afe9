"""Few labels, many records: what a teacher adds where only 5 or 10 records of each label have one.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.few_shot [--seeds 3] [--shots 5 10]

BANKING77; the seeds draw which records keep their label. The teacher has seen all labels and is asked about all records. ``alone``: the
student on the labelled records, as many steps; ``nearest``: the strongest simple baseline, logistic regression on the public
encoder's mean states of the same records, which is no small model; ``taught``: the student with labels and teacher.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.ablation import shortened
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.schooling import changed, score_of, student_of, teacher_of
from benchmarks.subjects import Subject, banking77, minilm
from shared.data.records import UNLABELLED, Records, Split

GOAL_POINTS = 10.0


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--shots", type=int, nargs="+", default=[5, 10], help="labelled records of each label")
    options.add_argument("--epochs", type=int, default=8, help="epochs over all records (default 8)")
    arguments = options.parse_args()
    report("few_shot", measured(shortened(banking77(), arguments.epochs), arguments), arguments)


def measured(subject: Subject, arguments: argparse.Namespace) -> list[Claim]:
    """The claims for each number of shots."""
    teacher, claims = teacher_of(subject), list[Claim]()
    states = {part: mean_states(records) for part, records in (("train", subject.split.train), ("test", subject.split.test))}
    for shots in arguments.shots:
        taught, alone, nearest = list[float](), list[float](), list[float]()
        for seed in range(arguments.seeds):
            rows = chosen(subject.split.train.labels, shots, seed)
            taught.append(score_of(subject, student_of(hidden(subject, rows), teacher, seed=seed)[0]))
            alone.append(score_of(subject, student_of(only(changed(subject, teacher="none"), rows), None, seed=seed)[0]))
            nearest.append(regression(states["train"][rows], subject.split.train.labels[rows], states["test"], subject.split.test.labels))
            print(f"{shots} shots, seed {seed}: alone {alone[-1]:.4f}, regression {nearest[-1]:.4f}, taught {taught[-1]:.4f}", flush=True)
        gains = [100 * (one - other) for one, other in zip(taught, alone, strict=True)]
        over = [100 * (one - other) for one, other in zip(taught, nearest, strict=True)]
        claims += [claim(f"{shots}.alone", alone, "accuracy"), claim(f"{shots}.nearest", nearest, "accuracy")]
        claims += [claim(f"{shots}.taught", taught, "accuracy", baseline=statistics.median(alone))]
        claims += [claim(f"{shots}.gain", gains, "points", goal=GOAL_POINTS), claim(f"{shots}.gain_over_nearest", over, "points")]
    return claims


def chosen(labels: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
    """Rows of ``shots`` records of each label, drawn by ``seed``."""
    random = np.random.default_rng(seed)
    return np.sort(np.concatenate([random.permutation(np.flatnonzero(labels == label))[:shots] for label in np.unique(labels)]))


def hidden(subject: Subject, rows: NDArray[np.int64]) -> Subject:
    """The subject with the labels of ``rows`` alone; all records stay."""
    train = subject.split.train
    labels = np.full_like(train.labels, UNLABELLED)
    labels[rows] = train.labels[rows]
    return dataclasses.replace(subject, split=Split(Records(train.inputs, labels, train.texts), subject.split.test))


def only(subject: Subject, rows: NDArray[np.int64]) -> Subject:
    """The subject with the records at ``rows`` alone, and as many steps as all records have."""
    epochs = subject.config.training.epochs * len(subject.split.train) // len(rows)
    return shortened(dataclasses.replace(subject, split=Split(subject.split.train.take(rows), subject.split.test)), min(epochs, 1000))


def mean_states(records: Records) -> NDArray[np.float32]:
    """The public encoder's mean last state of each text ``(records, 384)``."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(minilm(), local_files_only=True) for kind in (AutoTokenizer, AutoModel))
    assert records.texts is not None
    parts = []
    with torch.no_grad():
        for start in range(0, len(records), 64):
            batch = tokenizer([str(text) for text in records.texts[start : start + 64]], padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None].float()
            parts.append(((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)).numpy())
    found: NDArray[np.float32] = np.concatenate(parts)
    lengths: NDArray[np.float32] = np.sqrt((found * found).sum(axis=1, keepdims=True))
    return found / lengths


def regression(states: NDArray[np.float32], labels: NDArray[np.int64], others: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Accuracy of logistic regression on states."""
    return float(LogisticRegression(C=10.0, max_iter=500).fit(states, labels).score(others, truth))


if __name__ == "__main__":
    main()
