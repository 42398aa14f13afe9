"""What an institution does for a round: learns, evaluates and counts, on its own records and with its own teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from shared.config import InstitutionConfig
from shared.data import Split, load_site
from shared.data.statistics import exponent_counts, moment_counts
from shared.distill.alignment import AlignmentStore
from shared.distill.evaluation import evaluate
from shared.distill.objective import needs_inside
from shared.distill.targets import Targets, cached_targets
from shared.distill.teacher import load_teacher
from shared.distill.trainer import distil
from shared.errors import CheckpointError, ProtocolError
from shared.models import Network, build, load_vector, to_vector
from shared.models.fragment import only_fragment
from shared.models.seeds import derive
from shared.settings import DistillationSettings
from shared.work import (
    FIXED_POINT,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    GateWork,
    Normalisation,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
)

LARGEST_LOSS = 2.0**20
"""A mean training loss counts no more than this, so that its counter cannot overflow."""

Counters = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Contribution:
    """``update`` float32 ``(d,)`` or ``None``, the number of training records as ``weight``, ``counters`` int64 ``(k,)``."""

    update: NDArray[np.float32] | None
    weight: int
    counters: NDArray[np.int64]


class Workbench:
    """Does every kind of work in ``shared/work.py``; equal arguments give bit-identical contributions, after a restart too.

    Records, teacher and its targets are loaded at first use and stay warm.
    """

    def __init__(self, config: InstitutionConfig, folder: Path) -> None:
        """``folder`` is the institution's: ``teacher/`` and ``state/`` are looked for there."""
        self._config = config
        self._folder = folder
        self._alignment = AlignmentStore(folder / "state")
        self._targets: dict[bool, Targets] = {}

    def perform(self, work: Work, blob: bytes, round_number: int) -> Contribution:
        """Performs one round's work. Raises :class:`DataError` and its kinds, :class:`CheckpointError`, :class:`ProtocolError`."""
        torch.set_num_threads(self._config.threads)
        update = None
        match work:
            case StatisticsRangeWork():
                counters: Counters = {"exponents": exponent_counts(self._config.task, self._split.train)}
            case StatisticsMomentsWork():
                counters = moment_counts(self._config.task, self._split.train, work.exponents)
            case TrainWork():
                update, counters = self._train(work, _vector(blob), round_number)
            case CalibrateRangeWork() | CalibrateHistogramWork():
                counters = self._calibrate(work, self._student(work.normalisation, _vector(blob)))
            case GateWork():
                counters = self._gate(work, _tensors(blob))
        return Contribution(update, len(self._split.train), self._in_order(work, counters))

    @cached_property
    def _split(self) -> Split:
        return load_site(self._config)

    def _student(self, normalisation: Normalisation, vector: NDArray[np.float32]) -> Network:
        student = build(self._config.student, self._config.task, normalisation, seed=0)
        load_vector(student, vector)
        return student

    def _train(self, work: TrainWork, vector: NDArray[np.float32], round_number: int) -> tuple[NDArray[np.float32], Counters]:
        student = self._student(work.normalisation, vector)
        counters = self._evaluate(student)
        targets = self._teacher_targets(work.distillation)
        with only_fragment(student, work.fragments.get(self._config.name)):
            outcome = distil(
                student,
                targets,
                self._split.train,
                work.training,
                work.distillation,
                seed=derive(self._config.seed, self._config.name, work.seed, round_number, "train"),
                alignment=self._alignment.load(work.version),
                label_shares=work.label_shares,
            )
        self._alignment.save(work.version, outcome.alignment)
        records = len(self._split.train)
        loss = round(min(outcome.loss, LARGEST_LOSS) * records * FIXED_POINT)
        return to_vector(student) - vector, {**counters, "train_records": _one(records), "train_loss": _one(loss), "unclipped": _one(0)}

    def _teacher_targets(self, distillation: DistillationSettings) -> Targets | None:
        if distillation.teacher != "own":
            return None
        inside = needs_inside(distillation)
        if inside not in self._targets:
            teacher = load_teacher(self._config.teacher_path or self._folder / "teacher", self._config.task)
            self._targets[inside] = cached_targets(self._folder / "state", teacher, self._split.train.inputs, inside=inside)
        return self._targets[inside]

    def _evaluate(self, student: Network) -> Counters:
        found = evaluate(student, self._split.test, len(self._config.task.labels))
        loss = round(found.loss * found.records * FIXED_POINT)
        return {"eval_records": _one(found.records), "eval_loss": _one(loss), "eval_confusion": found.confusion.reshape(-1)}

    def _calibrate(self, work: CalibrateRangeWork | CalibrateHistogramWork, student: Network) -> Counters:
        from shared.compress.calibrate import calibrated_tensors, histogram_counts, range_counts
        from shared.compress.export import export_float

        graph, inputs = export_float(student, self._config.task), self._split.train.inputs
        if not set(work.tensors) <= set(calibrated_tensors(graph)):
            raise ProtocolError("the coordinator names tensors that this release's graph of the student has not; install the same release")
        if isinstance(work, CalibrateRangeWork):
            return {**self._evaluate(student), "ranges": range_counts(graph, work.tensors, inputs)}
        return {"histograms": histogram_counts(graph, work.tensors, work.lows, work.highs, inputs)}

    def _gate(self, work: GateWork, files: Mapping[str, NDArray[Any]]) -> Counters:
        from shared.compress.gate import gate_counts

        missing = [name for name in ("float", *work.candidates) if name not in files]
        if missing:
            raise ProtocolError(f"the gate's files lack '{missing[0]}', which its plan names; ask the coordinator to send them again")
        candidates = {name: files[name].tobytes() for name in work.candidates}
        return gate_counts(files["float"].tobytes(), candidates, self._split.test)

    def _in_order(self, work: Work, counters: Counters) -> NDArray[np.int64]:
        fields = counter_fields(work, self._config.task)
        parts: Sequence[NDArray[np.int64]] = [counters[field.name].reshape(-1) for field in fields]
        wrong = [field.name for field, part in zip(fields, parts, strict=True) if len(part) != field.length]
        if wrong:
            raise ProtocolError(f"the counters '{wrong[0]}' do not fit the plan; coordinator and institution differ in task")
        return np.concatenate(parts).astype(np.int64)


def _one(value: int) -> NDArray[np.int64]:
    return np.array([value], np.int64)


def _vector(blob: bytes) -> NDArray[np.float32]:
    vector = _tensors(blob).get("vector")
    if vector is None or vector.dtype != np.float32:
        raise CheckpointError("the model that the coordinator sent holds no float32 'vector'; install the same release on both sides")
    return vector


def _tensors(blob: bytes) -> dict[str, NDArray[Any]]:
    try:
        tensors: dict[str, NDArray[Any]] = load(blob)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        # KeyError: a type of number that numpy has not; ValueError: a shape beyond what it can count.
        raise CheckpointError("the model that the coordinator sent is damaged; it will be sent again") from error
    return tensors
