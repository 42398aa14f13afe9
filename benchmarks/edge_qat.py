"""What quantisation-aware training wins over quantisation after training, on small students.

    python -m benchmarks.edge_qat [--subjects digits_convolutional …] [--seeds 5] [--epochs 4] [--json FILE]

A student learns from labels alone; then, from the same weights, with the same records, epochs, rate and random numbers:

- ``float``: goes on learning as before, and stays in float: the reference,
- ``after``: that same student, calibrated and quantised,
- ``learned``: learns on with the arithmetic of the INT8 file and ranges of its own; those go into the file,
- ``agreed``: the same at fixed ranges, then calibrated anew, as a federation does.

All files have the portable grid (U8 activations, weights of 7 bits a channel). ``accuracy`` is that on held-out records, in the
runtime; ``agreement`` is how often a file answers as the same student does in float; ``behind`` are the points that it is below
``float``. ``seconds`` is the time of learning on, on one thread.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Claim, claim, parser, report
from shared.compress import runtime
from shared.compress.calibrate import ranges_of
from shared.compress.export import export_float
from shared.compress.qat.heal import heal_quantised
from shared.compress.quantise import Ranges, quantise
from shared.data.digits import TASK as DIGITS
from shared.data.digits import read_digits
from shared.data.heart import TASK as HEART
from shared.data.heart import read_heart
from shared.data.records import Records, Split, joined
from shared.data.split import hold_out
from shared.distill.teacher import own_normalisation
from shared.distill.trainer import distil
from shared.models import Network, build
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import Task
from shared.work import AT_THE_END

GRID = "u8s8-7bit"
ALONE = DistillationSettings(teacher="none", soft_weight=0.0, hidden_weight=0.0, attention_weight=0.0)
HELD_OUT = 0.3
GOAL_POINTS = 0.5
Figures = dict[str, float]


@dataclass(frozen=True)
class Subject:
    """A student and what it learns from."""

    task: Task
    student: NetworkSettings
    records: Callable[[], Records]
    training: TrainingSettings


def _heart() -> Records:
    return joined(list(read_heart().values()))


def _larger_digits() -> Records:
    records = read_digits()
    return Records(np.ascontiguousarray(records.inputs.repeat(2, axis=1).repeat(2, axis=2)), records.labels)


_LARGER = DIGITS.model_copy(update={"size": 16})
_IMAGES = TrainingSettings(epochs=15, batch_size=64, learning_rate=4e-3)
_ROWS = TrainingSettings(epochs=15, batch_size=32, learning_rate=2e-3)
SUBJECTS: Mapping[str, Subject] = {
    "digits_convolutional": Subject(DIGITS, NetworkSettings(width=12, depth=3), read_digits, _IMAGES),
    "digits_vision": Subject(DIGITS, NetworkSettings(width=32, depth=2, heads=4, architecture="transformer"), read_digits, _ROWS),
    "digits_mobile": Subject(_LARGER, NetworkSettings(width=16, depth=5, architecture="mobile"), _larger_digits, _IMAGES),
    "heart_transformer": Subject(HEART, NetworkSettings(width=32, depth=2, heads=4), _heart, _ROWS),
    "heart_perceptron": Subject(HEART, NetworkSettings(width=32, depth=2, architecture="perceptron"), _heart, _ROWS),
}


def measure(subject: Subject, *, seed: int, epochs: int) -> dict[str, Figures]:
    """One seed: the figures of every way by name."""
    split = hold_out(subject.records(), HELD_OUT, seed=seed, site="all")
    student = build(subject.student, subject.task, own_normalisation(subject.task, split.train), seed=seed)
    distil(student, None, split.train, subject.training, ALONE, seed=seed)
    further = subject.training.model_copy(update={"epochs": epochs})
    ranges = calibrated(student, split.train.inputs)
    found = {name: way(copy.deepcopy(student), split, further, ranges, seed) for name, way in WAYS.items()}
    reference = found["after"].pop("float")
    found["float"] = {"accuracy": reference, "seconds": found["after"]["seconds"]}
    return {name: figures | {"behind": 100 * (reference - figures["accuracy"])} for name, figures in found.items()}


def calibrated(student: Network, inputs: NDArray[np.generic]) -> Ranges:
    """The ranges as a federation of one agrees on them."""
    return ranges_of(export_float(student, student.task), inputs)


def _after(student: Network, split: Split, training: TrainingSettings, ranges: Ranges, seed: int) -> Figures:
    start = time.process_time()
    distil(student, None, split.train, training, ALONE, seed=seed + 1, span=AT_THE_END)
    seconds = time.process_time() - start
    answers = _answers(export_float(student, student.task), split.test)
    return {
        **_figures(student, calibrated(student, split.train.inputs), split, seconds),
        "float": float((answers == split.test.labels).mean()),
    }


def _learned(student: Network, split: Split, training: TrainingSettings, ranges: Ranges, seed: int) -> Figures:
    start = time.process_time()
    found = heal_quantised(student, None, split.train, training, ALONE, ranges=ranges, grid=GRID, seed=seed + 1)
    return _figures(student, found, split, time.process_time() - start)


def _agreed(student: Network, split: Split, training: TrainingSettings, ranges: Ranges, seed: int) -> Figures:
    start = time.process_time()
    heal_quantised(student, None, split.train, training, ALONE, ranges=ranges, grid=GRID, seed=seed + 1, learn=False)
    seconds = time.process_time() - start
    return _figures(student, calibrated(student, split.train.inputs), split, seconds)


WAYS: Mapping[str, Callable[[Network, Split, TrainingSettings, Ranges, int], Figures]] = {
    "after": _after,
    "learned": _learned,
    "agreed": _agreed,
}


def _figures(student: Network, ranges: Ranges, split: Split, seconds: float) -> Figures:
    content = export_float(student, student.task)
    answers = _answers(quantise(content, ranges, GRID), split.test)
    return {
        "accuracy": float((answers == split.test.labels).mean()),
        "agreement": float((answers == _answers(content, split.test)).mean()),
        "seconds": seconds,
    }


def _answers(content: bytes, records: Records) -> NDArray[np.int64]:
    found: NDArray[np.int64] = runtime.logits(runtime.session(content), records.inputs).argmax(axis=1)
    return found


def claims(name: str, found: Sequence[Mapping[str, Figures]]) -> Iterator[Claim]:
    """All ways' figures over the seeds as claims."""
    for way in ("float", *WAYS):
        for figure in found[0][way]:
            if (way, figure) != ("float", "behind"):
                goal = GOAL_POINTS if figure == "behind" else None
                unit = {"behind": "points", "seconds": "s"}.get(figure, figure)
                yield claim(f"{name}.{way}.{figure}", [one[way][figure] for one in found], unit, goal=goal)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS), help="which students (default: all)")
    options.add_argument("--epochs", type=int, default=4, help="epochs of learning on (default 4)")
    options.add_argument("--quick", action="store_true", help="one seed, one epoch of everything; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.quick
    entries: list[Claim] = []
    seeds, epochs = (1, 1) if chosen.quick else (chosen.seeds, chosen.epochs)
    for name in chosen.subjects:
        subject = _shortened(SUBJECTS[name]) if chosen.quick else SUBJECTS[name]
        found = [measure(subject, seed=seed, epochs=epochs) for seed in range(seeds)]
        print(f"{name}: {[{way: figures['accuracy'] for way, figures in one.items()} for one in found]}", file=sys.stderr, flush=True)
        entries += claims(name, found)
    report("edge_qat", entries, chosen)


def _shortened(subject: Subject) -> Subject:
    return Subject(subject.task, subject.student, subject.records, subject.training.model_copy(update={"epochs": 1}))


if __name__ == "__main__":
    main()
