"""Records a second of a whole distillation, beside torchdistill and TextBrewer on the same pair, data and machine, in turns.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.distill_speed --peers DIR [--seeds 3] [--records 2000] [--epochs 5]

MiniLM fine-tuned on BANKING77 teaches the student of ``benchmarks/subjects.py`` with soft targets and labels; every library starts
from the same random weights, with the same batch size, one thread. fedstill's seconds have asking the teacher and keeping its
targets in them, so a record costs less with every further epoch; peers ask in every step (``textbrewer_cached``: in the first
epoch alone, as its own option has it, which fixes the batches). Batches of all peers are as long as their longest record;
fedstill's are of records of nearly one length, which is part of what is compared. ``accuracy`` says that all of them learn.
Where ``--peers`` lie: ``benchmarks/peers.py``.
"""

from __future__ import annotations

import copy
import dataclasses
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import schooling
from benchmarks.ablation import shortened
from benchmarks.harness import claim, parser, report
from benchmarks.peers import Pair, by_textbrewer, by_torchdistill, use_folder
from benchmarks.schooling import changed, score_of, student_of, teacher_of
from benchmarks.subjects import Subject, banking77
from shared.data.records import Split
from shared.models.derive import first_student
from shared.work import Normalisation

GOAL = 3.0
THREADS = 1


class Logits(nn.Module):
    """A Hugging Face classifier that takes ids, and looks at no labels: TextBrewer gives the whole batch."""

    def __init__(self, model: Any, padding: int) -> None:
        super().__init__()
        self.model, self.padding = model, padding

    def forward(self, ids: Tensor, labels: Tensor | None = None) -> Tensor:
        """Int ``(batch, tokens)`` -> ``(batch, labels)``."""
        logits: Tensor = self.model(input_ids=ids.long(), attention_mask=(ids != self.padding).long()).logits
        return logits


class Ids(nn.Module):
    """A student as the peers call it: TextBrewer gives the whole batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, labels: Tensor | None = None) -> Tensor:
        """Int ``(batch, tokens)`` -> ``(batch, labels)``; labels are not looked at."""
        logits: Tensor = self.model(ids)
        return logits


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--peers", type=Path, required=True, help="the folder with the peers' packages")
    options.add_argument("--records", type=int, default=2000)
    options.add_argument("--epochs", type=int, default=5)
    arguments = options.parse_args()
    whole = changed(shortened(banking77(derived=False), arguments.epochs), hidden_weight=0.0, attention_weight=0.0, soft_weight=0.8)
    # Before the peers' packages are there: transformers would take a torchvision that cannot be imported for one that can.
    pair_of(whole, 0)
    use_folder(arguments.peers)
    seconds: dict[str, list[float]] = {}
    accuracy: dict[str, list[float]] = {}
    for seed in range(arguments.seeds):
        rows = np.random.default_rng(seed).permutation(len(whole.split.train))[: arguments.records]
        subject = dataclasses.replace(whole, split=Split(whole.split.train.take(rows), whole.split.test))
        for name, run in RUNS.items():
            taken, score = run(subject, seed)
            seconds.setdefault(name, []).append(taken)
            accuracy.setdefault(name, []).append(score)
            print(f"seed {seed}, {name}: {taken:.1f} s, accuracy {score:.4f}", flush=True)
    looks = arguments.records * arguments.epochs
    rates = {name: [looks / taken for taken in found] for name, found in seconds.items()}
    claims = [claim(f"{name}.rate", found, "records/s") for name, found in rates.items()]
    claims += [claim(f"{name}.accuracy", found, "accuracy") for name, found in accuracy.items()]
    for name in (name for name in rates if name != "fedstill"):
        times = [ours / theirs for ours, theirs in zip(rates["fedstill"], rates[name], strict=True)]
        claims.append(claim(f"faster_than.{name}", times, "times", baseline=statistics.median(rates[name]), goal=GOAL))
    report("distill_speed", claims, arguments)


def by_fedstill(subject: Subject, seed: int) -> tuple[float, float]:
    """Seconds, targets included, and accuracy."""
    teacher = teacher_of(subject)
    kept = schooling.KEPT
    folder = Path(tempfile.mkdtemp())
    torch.set_num_threads(THREADS)
    started = time.perf_counter()
    try:
        # An empty folder: the targets are made within what is measured.
        schooling.KEPT = folder
        student, _ = student_of(subject, teacher, seed=seed, threads=THREADS)
    finally:
        schooling.KEPT = kept
        shutil.rmtree(folder, ignore_errors=True)
    return time.perf_counter() - started, score_of(subject, student)


def by_peer(fit: Callable[[Pair], None]) -> Callable[[Subject, int], tuple[float, float]]:
    """The same for a peer."""

    def run(subject: Subject, seed: int) -> tuple[float, float]:
        pair = pair_of(subject, seed)
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        started = time.perf_counter()
        fit(pair)
        taken = time.perf_counter() - started
        assert isinstance(pair.student, Ids)
        return taken, score_of(subject, pair.student.model)  # type: ignore[arg-type]

    return run


def pair_of(subject: Subject, seed: int) -> Pair:
    """The teacher as it is on disk, and the student as fedstill starts it."""
    from transformers import AutoModelForSequenceClassification

    teacher_of(subject)
    folder = schooling.KEPT / f"{subject.name}-teacher-0"
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    config, train = subject.config, subject.split.train
    assert config.task.family == "text"
    student = copy.deepcopy(first_student(config, Normalisation(), seed=seed))
    return Pair(
        teacher=Logits(model, config.task.padding),
        student=Ids(student),
        inputs=torch.from_numpy(train.inputs),
        labels=torch.from_numpy(train.labels),
        padding=config.task.padding,
        batch_size=config.training.batch_size,
        epochs=config.training.epochs,
        rate=config.training.learning_rate,
    )


RUNS: dict[str, Callable[[Subject, int], tuple[float, float]]] = {
    "fedstill": by_fedstill,
    "torchdistill": by_peer(by_torchdistill),
    "textbrewer": by_peer(by_textbrewer),
    "textbrewer_cached": by_peer(lambda pair: by_textbrewer(pair, caching=True)),
}


if __name__ == "__main__":
    main()
