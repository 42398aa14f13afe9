"""What an institution does for a round: learns, evaluates and counts, on its own records and with its own teacher."""

from __future__ import annotations

import hashlib
import logging
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

from client.entities import EntitySharing, table_of
from client.knowledge import InstitutionKnowledge, Lessons, trust_counters
from client.proxy import open_proxy
from client.students import StudentStore, student_key
from shared.config import InstitutionConfig
from shared.data import Split, load_site
from shared.data.records import digest_of
from shared.data.statistics import exponent_counts, moment_counts
from shared.distill.alignment import AlignmentStore
from shared.distill.auxiliary import Auxiliary
from shared.distill.cache import cached_targets, institution_views, order_of
from shared.distill.depth import Wanted
from shared.distill.evaluation import evaluate
from shared.distill.heads import Heads, site_heads
from shared.distill.resume import Resume
from shared.distill.targets import Targets
from shared.distill.teacher import load_teacher
from shared.distill.trainer import AlignmentState, distil
from shared.distill.views import Views
from shared.errors import CheckpointError, ProtocolError
from shared.files import PRIVATE_MODE, write_atomic
from shared.knowledge.alignment import Known
from shared.knowledge.slots import kept_slots
from shared.models import Network, build, load_vector, to_vector
from shared.models.build import parameters_of
from shared.models.device import chosen_device
from shared.models.fragment import only_fragment
from shared.models.network import predict_logits
from shared.models.outputs import output_ranges
from shared.models.seeds import derive
from shared.settings import DistillationSettings, NetworkSettings
from shared.teachers import open_teacher
from shared.work import (
    FIXED_POINT,
    AnswerWork,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    EntitiesWork,
    GateWork,
    ImportanceWork,
    LearningWork,
    Normalisation,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
)

LARGEST_LOSS = 2.0**20
"""A mean training loss counts no more than this, so that its counter cannot overflow."""
IN_FORCE_FILE = "in-force.txt"
"""In ``state/``: which terms of the objective taught in the last round, a sentence."""

_LOG = logging.getLogger("fedstill.training")

Counters = Mapping[str, NDArray[np.int64]]
Tensors = Mapping[str, NDArray[Any]]
"""What a blob holds, by name."""


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
        self._students = StudentStore(folder / "state")
        self._sharing = EntitySharing(config, folder / "state")
        self._targets: dict[tuple[DistillationSettings, NetworkSettings], tuple[Targets, Wanted]] = {}

    def perform(self, work: Work, blob: bytes, round_number: int) -> Contribution:
        """Performs one round's work. Raises :class:`DataError` and its kinds, :class:`CheckpointError`, :class:`ProtocolError`."""
        torch.set_num_threads(self._config.threads)
        update = None
        match work:
            case StatisticsRangeWork():
                counters: Counters = {"exponents": exponent_counts(self._config.task, self._split.train)}
            case StatisticsMomentsWork():
                counters = moment_counts(self._config.task, self._split.train, work.exponents)
            case EntitiesWork():
                graph = self._knowledge.graph(work.graph_sha256, _tensors(blob) if work.graph_sha256 else {})
                counters = {"entities": self._sharing.counted(work, graph)}
            case TrainWork():
                update, counters = self._train(work, _tensors(blob), round_number)
            case AnswerWork():
                update, counters = self._answer(work, _tensors(blob), round_number)
            case ImportanceWork():
                counters = self._weigh(work, self._student(work.normalisation, _vector(_tensors(blob))))
            case CalibrateRangeWork() | CalibrateHistogramWork():
                counters = self._calibrate(work, self._student(work.normalisation, _vector(_tensors(blob)), work.student))
            case GateWork():
                counters = self._gate(work, _tensors(blob))
        return Contribution(update, len(self._split.train), self._in_order(work, counters))

    @cached_property
    def _split(self) -> Split:
        return load_site(self._config)

    @cached_property
    def _knowledge(self) -> InstitutionKnowledge:
        return InstitutionKnowledge(self._config, self._split.train)

    @cached_property
    def _records_digest(self) -> str:
        return digest_of(self._split.train)

    def _student(self, normalisation: Normalisation, vector: NDArray[np.float32], settings: NetworkSettings | None = None) -> Network:
        shape = settings or self._config.student
        # Whoever names a shape could name one that no memory holds.
        if settings is not None and parameters_of(shape, self._config.task, normalisation) > vector.size:
            raise ProtocolError(
                f"a student of width {shape.width} and depth {shape.depth} has more than the {vector.size} numbers that came"
            )
        student = build(shape, self._config.task, normalisation, seed=0)
        load_vector(student, vector)
        return student

    def _train(self, work: TrainWork, tensors: Tensors, round_number: int) -> tuple[NDArray[np.float32], Counters]:
        start = _vector(tensors)
        vector, lessons, change = self._taught(work, tensors, start, round_number)
        student = self._student(work.normalisation, vector, work.student)
        counters = self._evaluate(student)
        with only_fragment(student, work.fragments.get(self._config.name)):
            training = self._learn(work, self._quantised(work, student), round_number, start, lessons)
        heads = site_heads(student, self._split.train.labels, self._config.head)
        if heads is None:
            return np.concatenate([to_vector(student) - vector, change]), {**counters, **training}
        update = _own_outputs(to_vector(student) - vector, student, heads)
        return update, {**counters, **training, **_head_weights(heads, len(self._split.train))}

    def _quantised(self, work: TrainWork, student: Network) -> Network:
        if work.quantised is None:
            return student
        from shared.compress.qat.student import QuantisationAware

        # Everyone learns at the ranges that were agreed on: ranges of one's own would make grids that do not add up.
        return QuantisationAware(student, work.quantised.ranges, work.quantised.grid, learn=False)

    def _taught(
        self, work: TrainWork, tensors: Tensors, vector: NDArray[np.float32], round_number: int
    ) -> tuple[NDArray[np.float32], Lessons, NDArray[np.float32]]:
        """The student's part of the vector, what a graph teaches it, and the change of the rows behind it, empty where none are shared."""
        asked = work.knowledge
        if asked is None or asked.shared is None:
            return vector, self._knowledge.lessons(work, tensors, round_number), np.zeros(0, np.float32)
        student, table = table_of(work, vector, kept_slots(tensors, asked.shared.slots))
        graph = self._knowledge.graph(asked.graph_sha256, tensors)
        learnt = self._sharing.learn(work, graph, table, round_number, len(self._split.train))
        return student, self._knowledge.lessons(work, tensors, round_number, learnt.entities), learnt.change

    def _answer(self, work: AnswerWork, tensors: Tensors, round_number: int) -> tuple[NDArray[np.float32], Counters]:
        proxy = open_proxy(work, tensors, self._config.task)
        student, key = self._own_student(work), student_key(self._config, work)
        counters = self._evaluate(student)
        # Nobody has answered anything before the first round: there is no consensus to learn from.
        consensus = Auxiliary("consensus", proxy.inputs, proxy.table, work.proxy.weight, work.proxy.temperature)
        start = np.concatenate([to_vector(student), proxy.vector])
        lessons = self._knowledge.lessons(work, tensors, round_number)
        training = self._learn(work, student, round_number, start, lessons, [consensus] if work.version else [])
        self._students.save(work.version, key, to_vector(student))
        return proxy.update(predict_logits(student, proxy.inputs), work.proxy.bound), {**counters, **training}

    def _own_student(self, work: AnswerWork) -> Network:
        vector = self._students.load(work.version, student_key(self._config, work))
        if vector is not None:
            return self._student(work.normalisation, vector)
        if work.version:
            _LOG.warning("there is no student of this institution's own from an earlier round of the run; it starts anew")
        seed = derive(self._config.seed, self._config.name, work.seed, "own student")
        return build(self._config.student, self._config.task, work.normalisation, seed=seed)

    def _learn(
        self,
        work: LearningWork,
        student: Network,
        round_number: int,
        start: NDArray[np.float32],
        lessons: Lessons,
        auxiliaries: Sequence[Auxiliary] = (),
    ) -> Counters:
        """Distils in place; ``start`` is everything that came and is learnt from, for it names the fit that a killed one goes on as."""
        seed = derive(self._config.seed, self._config.name, work.seed, round_number, "train")
        targets, wanted = self._teacher_targets(work.distillation, work.student or self._config.student)
        alignment = self._alignment.load(work.version, work.begun)
        beside = [*auxiliaries, *([lessons.auxiliary] if lessons.auxiliary is not None else [])]
        device = chosen_device(self._config.device)
        key = _fit_key(work, start, seed, alignment, f"{self._records_digest} {device} {lessons.trust}", beside, lessons.known)
        resume = Resume(self._folder / "state" / "fit.safetensors", key)
        outcome = distil(
            student,
            targets,
            self._split.train,
            work.training,
            work.distillation,
            seed=seed,
            alignment=alignment,
            label_shares=work.label_shares,
            wanted=wanted,
            views=self._views(work.distillation, work.version * work.training.epochs) if work.distillation.views > 1 else None,
            resume=resume,
            head=self._config.head,
            mentor=self._mentor(work.distillation),
            auxiliaries=beside,
            known=lessons.known,
            span=work.span,
            device=device,
        )
        self._alignment.save(work.version, outcome.alignment)
        # For the institution alone to read: what its teacher shows inside is nobody else's to know.
        write_atomic(self._folder / "state" / IN_FORCE_FILE, f"{outcome.in_force}\n".encode(), mode=PRIVATE_MODE)
        resume.done()
        records = len(self._split.train)
        loss = round(min(outcome.loss, LARGEST_LOSS) * records * FIXED_POINT)
        counters = {"train_records": _one(records), "train_loss": _one(loss), "unclipped": _one(0)}
        return counters | dict(trust_counters(work, lessons))

    def _teacher_targets(self, distillation: DistillationSettings, student: NetworkSettings) -> tuple[Targets | None, Wanted | None]:
        if distillation.teacher != "own":
            return None, None
        if (distillation, student) not in self._targets:
            teacher = open_teacher(
                self._config.teacher_path or self._folder / "teacher",
                self._config.task,
                device=self._config.teacher_device,
                precision=self._config.teacher_precision,
            )
            order = order_of(student, self._config.task, distillation, teacher)
            targets = cached_targets(
                self._folder / "state",
                teacher,
                self._split.train,
                self._views(distillation),
                order,
                limit_mb=self._config.cache_limit_mb,
                say=_LOG.warning,
            )
            self._targets = {(distillation, student): (targets, Wanted(order.hidden, order.attentions))}
        return self._targets[distillation, student]

    def _mentor(self, distillation: DistillationSettings) -> Network | None:
        # Loaded anew for every round: what it had learnt in earlier ones comes with the alignment.
        if distillation.teacher != "mutual":
            return None
        return load_teacher(self._config.teacher_path or self._folder / "teacher", self._config.task)

    def _views(self, distillation: DistillationSettings, first: int = 0) -> Views:
        return institution_views(self._config.task, distillation.views, self._config.seed, self._config.name, first)

    def _evaluate(self, student: Network) -> Counters:
        found = evaluate(student, self._split.test, len(self._config.task.labels), self._config.task.heads)
        loss = round(found.loss * found.records * FIXED_POINT)
        return {"eval_records": _one(found.records), "eval_loss": _one(loss), "eval_confusion": found.confusion.reshape(-1)}

    def _weigh(self, work: ImportanceWork, student: Network) -> Counters:
        from shared.compress.prune.anatomy import anatomy
        from shared.compress.prune.importance import importance_counts

        found = anatomy(student)
        if (len(found.blocks), found.heads, found.inner) != (work.blocks, work.heads, work.inner):
            raise ProtocolError("the coordinator counts other blocks, heads or channels than its student has; install the same release")
        return {**self._evaluate(student), **importance_counts(student, self._split.train, self._split.test)}

    def _calibrate(self, work: CalibrateRangeWork | CalibrateHistogramWork, student: Network) -> Counters:
        from shared.compress.calibrate import calibrated_tensors, histogram_counts, range_counts
        from shared.compress.export import export_float

        graph, inputs = export_float(student, self._config.task), self._split.train.inputs
        if not set(work.tensors) <= set(calibrated_tensors(graph)):
            raise ProtocolError("the coordinator names tensors that this release's graph of the student has not; install the same release")
        padding = self._config.task.padding if self._config.task.family == "text" else None
        if isinstance(work, CalibrateRangeWork):
            return {**self._evaluate(student), "ranges": range_counts(graph, work.tensors, inputs, padding=padding)}
        return {"histograms": histogram_counts(graph, work.tensors, work.lows, work.highs, inputs, padding=padding)}

    def _gate(self, work: GateWork, files: Tensors) -> Counters:
        from shared.compress.gate import gate_counts

        missing = [name for name in ("float", *work.candidates) if name not in files]
        if missing:
            raise ProtocolError(f"the gate's files lack '{missing[0]}', which its plan names; ask the coordinator to send them again")
        candidates = {name: files[name].tobytes() for name in work.candidates}
        return gate_counts(files["float"].tobytes(), candidates, self._split.test, self._config.task.heads)

    def _in_order(self, work: Work, counters: Counters) -> NDArray[np.int64]:
        fields = counter_fields(work, self._config.task)
        parts: Sequence[NDArray[np.int64]] = [counters[field.name].reshape(-1) for field in fields]
        wrong = [field.name for field, part in zip(fields, parts, strict=True) if len(part) != field.length]
        if wrong:
            raise ProtocolError(f"the counters '{wrong[0]}' do not fit the plan; coordinator and institution differ in task")
        return np.concatenate(parts).astype(np.int64)


def _fit_key(
    work: LearningWork,
    vector: NDArray[np.float32],
    seed: int,
    alignment: AlignmentState,
    records: str,
    beside: Sequence[Auxiliary],
    known: Known | None,
) -> str:
    """Names exactly one fit: another round, another student, another plan, other records or another device start anew."""
    digest = hashlib.sha256(work.canonical() + f"{seed} {records}".encode() + vector.tobytes())
    for one in beside:
        digest.update(one.name.encode() + one.inputs.tobytes() + one.table.tobytes())
    if known is not None:
        digest.update(known.records.tobytes() + known.prototypes.tobytes() + known.similarity.tobytes())
    for name, tensor in sorted(alignment.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _own_outputs(update: NDArray[np.float32], student: Network, heads: Heads) -> NDArray[np.float32]:
    # Weight decay moves the outputs of heads that the records say nothing about.
    for head, ranges in enumerate(output_ranges(student)):
        for start, stop in ranges if head not in heads.present else ():
            update[start:stop] = 0.0
    return update


def _head_weights(heads: Heads, records: int) -> Counters:
    return {"head_weights": np.where(np.isin(np.arange(len(heads.heads)), heads.present), records, 0).astype(np.int64)}


def _one(value: int) -> NDArray[np.int64]:
    return np.array([value], np.int64)


def _vector(tensors: Tensors) -> NDArray[np.float32]:
    vector = tensors.get("vector")
    if vector is None or vector.dtype != np.float32:
        raise CheckpointError("the model that the coordinator sent holds no float32 'vector'; install the same release on both sides")
    return vector


def _tensors(blob: bytes) -> Tensors:
    try:
        tensors: dict[str, NDArray[Any]] = load(blob)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        # KeyError: a type of number that numpy has not; ValueError: a shape beyond what it can count.
        raise CheckpointError("the model that the coordinator sent is damaged; it will be sent again") from error
    return tensors
