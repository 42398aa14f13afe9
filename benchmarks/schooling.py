"""Teachers that benchmarks fit once and keep, and students that learn from them: the product's own parts, measured."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.subjects import Subject, minilm
from shared.compress.export import export_float
from shared.compress.latency import median_seconds, onnx_latency, torch_latency
from shared.data.records import Records
from shared.distill.alone import distil_alone
from shared.distill.cache import institution_views, order_of, stored_targets
from shared.distill.depth import Wanted
from shared.distill.targets import SHOWN, Targets, live_targets
from shared.models.network import Network, count_parameters, predict_logits
from shared.settings import TrainingSettings
from shared.teachers import Teacher, open_teacher
from shared.teachers.boosting import fit_boosting, save_boosting
from shared.teachers.efficientnet import EfficientNetTeacher, fit_efficientnet
from shared.teachers.fitting import fit_pretrained

KEPT = Path("runs") / "benchmarks"
"""Teachers and their targets: minutes of work that all benchmarks share."""
TEXT_TEACHER = TrainingSettings(epochs=4, batch_size=32, learning_rate=1e-4)
IMAGE_TEACHER = TrainingSettings(epochs=8, batch_size=16, learning_rate=2e-4)
IMAGE_SIZE = 96
"""Pixels at which the teacher sees images of 28 to 128: more would cost half an hour a fit."""
FLOAT_BYTES = 4
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
"""Of a teacher's fit: on a busy machine two threads wait for each other, and one is faster. Students learn on one: they are too small to
gain from more, and can be measured side by side."""


@dataclass(frozen=True)
class Figures:
    """One model on the test part. ``latency_ms``: one record in torch on one thread; ``onnx_ms``: in onnxruntime, of students and of
    the teachers of images."""

    score: float
    bytes: int
    latency_ms: float
    seconds: float = 0.0
    onnx_ms: float | None = None
    parameters: int | None = None


def teacher_of(subject: Subject, *, seed: int = 0) -> Teacher:
    """The subject's large model: MiniLM for texts, EfficientNet-lite2 for images, boosted trees for tables; fitted on first use."""
    torch.set_num_threads(THREADS)
    folder, task = teacher_folder(subject.name, seed), subject.config.task
    if not (folder / "done").exists():
        print(f"fitting the teacher of {subject.name}, once", flush=True)
        match task.family:
            case "text":
                fit_pretrained(minilm(), folder, subject.split.train, task, TEXT_TEACHER, seed=seed)
            case "image":
                fit_efficientnet(folder, subject.split.train, task, IMAGE_TEACHER, seed=seed, variant="efficientnet-lite2", size=IMAGE_SIZE)
            case _:
                save_boosting(folder, fit_boosting(subject.split.train, task, seed))
        (folder / "done").touch()
    return open_teacher(folder, task)


def teacher_logits(teacher: Teacher, records: Records) -> NDArray[np.float32]:
    """The teacher's logits ``(records, labels)``."""
    batches = np.array_split(np.arange(len(records)), max(-(-len(records) // SHOWN), 1))
    found: NDArray[np.float32] = np.concatenate([teacher.show(records.take(rows)).logits.numpy() for rows in batches])
    return found


def teacher_figures(subject: Subject, teacher: Teacher) -> Figures:
    """The teacher on the test part; its latency is that of being shown one record."""
    score = subject.metric(teacher_logits(teacher, subject.split.test), subject.split.test.labels)
    one = subject.split.test.take(np.arange(1))
    torch.set_num_threads(1)
    latency = 1000 * median_seconds(lambda: teacher.show(one), repeats=50, warm_up=5)
    size = max(sum(file.stat().st_size for file in teacher_folder(subject.name).glob("model.*")), 1)
    onnx = None
    if isinstance(teacher, EfficientNetTeacher):
        onnx = 1000 * onnx_latency(export_float(teacher.module(), subject.config.task), one.inputs)
    return Figures(score, size, latency, onnx_ms=onnx, parameters=teacher.parameters)


def asked(subject: Subject, teacher: Teacher) -> tuple[Targets, Wanted]:
    """The teacher's targets for the subject's student, kept in a folder for each wish."""
    config = subject.config
    order = order_of(config.student, config.task, config.distillation, teacher)
    views = institution_views(config.task, config.distillation.views, config.seed, config.name)
    folder = KEPT / f"{subject.name}-targets-{len(order.hidden)}-{len(order.attentions)}-{views.count}-{len(subject.split.train)}"
    return stored_targets(folder, live_targets(teacher, subject.split.train, views, order)), Wanted(order.hidden, order.attentions)


def student_of(subject: Subject, teacher: Teacher | None, *, seed: int, threads: int = 1) -> tuple[Network, float]:
    """The subject's student, distilled or, without a teacher, as its settings say; and the seconds of the fit alone."""
    config = subject.config
    targets, wanted = asked(subject, teacher) if teacher is not None and config.distillation.teacher == "own" else (None, None)
    views = institution_views(config.task, config.distillation.views, config.seed, config.name) if config.distillation.views > 1 else None
    torch.set_num_threads(threads)
    started = time.perf_counter()
    student, _ = distil_alone(subject.split.train, config, targets, epochs=config.training.epochs, seed=seed, wanted=wanted, views=views)
    return student, time.perf_counter() - started


def kept_student(folder: Path, subject: str, seed: int) -> Path:
    """Where a benchmark keeps a student for another one."""
    return folder / f"{subject}-{seed}.safetensors"


def teacher_folder(subject: str, seed: int = 0) -> Path:
    """Where :func:`teacher_of` keeps a teacher."""
    return KEPT / f"{subject}-teacher-{seed}"


def score_of(subject: Subject, student: Network) -> float:
    """The subject's metric of a student on the test part."""
    return subject.metric(predict_logits(student, subject.split.test.inputs), subject.split.test.labels)


def student_figures(subject: Subject, student: Network, seconds: float) -> Figures:
    """A student on the test part, in torch and as a float ONNX file."""
    test, parameters = subject.split.test, count_parameters(student)
    onnx = 1000 * onnx_latency(export_float(student, subject.config.task), test.inputs)
    return Figures(
        score_of(subject, student), parameters * FLOAT_BYTES, 1000 * torch_latency(student, test.inputs), seconds, onnx, parameters
    )


def changed(subject: Subject, **distillation: object) -> Subject:
    """The subject with other settings of distillation."""
    settings = subject.config.distillation.model_validate({**subject.config.distillation.model_dump(), **distillation})
    return dataclasses.replace(subject, config=subject.config.model_copy(update={"distillation": settings}))
