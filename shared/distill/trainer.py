"""One round of local distillation: the student learns from the records and, if there is one, from the teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.auxiliary import Auxiliary
from shared.distill.depth import Wanted
from shared.distill.held_out import HeldOut, parted
from shared.distill.lesson import Lesson
from shared.distill.loop import Fit
from shared.distill.mutual import without_teacher
from shared.distill.resume import Carried, Resume
from shared.distill.share import ALONE, Share
from shared.distill.targets import Targets
from shared.distill.views import Views
from shared.errors import CheckpointError
from shared.knowledge.alignment import Known, without_knowledge
from shared.models.device import CPU, repeatable
from shared.models.layers import use_dropout
from shared.models.network import Network
from shared.models.seeds import generator
from shared.models.vector import parameters_in_order
from shared.settings import DistillationSettings, TrainingSettings
from shared.task import TextTask

AlignmentState = Mapping[str, Tensor]
"""The parameters of the objective's terms by name: private to the institution, kept from round to round."""


@dataclass(frozen=True)
class Outcome:
    """``loss``: the whole loss's mean over the records in the last epoch; ``alignment``: what to hand back next round; ``epochs``
    that were done, fewer than asked for where the fit stopped early; ``in_force``: which terms taught (:mod:`shared.distill.in_force`)."""

    loss: float
    alignment: AlignmentState
    epochs: int = 0
    in_force: str = ""


def distil(
    student: nn.Module,
    targets: Targets | None,
    records: Records,
    training: TrainingSettings,
    distillation: DistillationSettings,
    *,
    seed: int,
    alignment: AlignmentState | None = None,
    label_shares: Sequence[float] = (),
    wanted: Wanted | None = None,
    views: Views | None = None,
    resume: Resume | None = None,
    head: str | None = None,
    on_epoch: Callable[[float], object] = lambda loss: None,
    mentor: nn.Module | None = None,
    span: tuple[float, float] = (0.0, 1.0),
    device: torch.device = CPU,
    share: Share = ALONE,
    auxiliaries: Sequence[Auxiliary] = (),
    known: Known | None = None,
) -> Outcome:
    """Trains ``student`` in place on ``records``, of which those with label -1 are unlabelled.

    ``targets`` are the own teacher's, in the records' order, and show its places ``wanted`` (``None``: all); without them there are
    hard labels alone. The other kinds of ``distillation.teacher`` need none, and look at none. Each epoch sees the records as
    the view that ``views`` has for it, and the targets of that same view (``None``: as they are).

    ``seed`` decides the batches, the dropout, what is held out and, where ``alignment`` is ``None`` or empty, the projections' first
    weights. With ``label_shares`` of the federation, ``distillation.label_correction`` is applied
    (:mod:`shared.distill.label_shift`). ``head`` names the head of records without a label, where the student's task has several
    (:mod:`shared.distill.heads`). ``mentor`` is the teacher that learns along with the student, in place, where
    ``distillation.teacher`` is ``mutual``; it goes on from what ``alignment`` holds of it. ``span`` is the part of the falling rate
    that this fit does (:class:`shared.distill.loop.Fit`). ``auxiliaries`` are learnt beside, on records of their own
    (:mod:`shared.distill.auxiliary`), and ``known`` is what a graph knows of the own ones (:mod:`shared.knowledge.alignment`). With
    ``resume`` a fit that was killed goes on. The fit computes on
    ``device``; student, mentor and all that is kept come back to the CPU. Equal arguments give bit-identical students, however often
    it was, on the CPU; on a GPU as far as :func:`shared.models.device.repeatable` says.

    With a ``share`` of several processes, each called with equal arguments and no ``resume``, all get one student, the same up to
    rounding as from one process where every loss is a record's own and nothing is dropped out.

    Raises :class:`NotFiniteError` where training diverges, :class:`CheckpointError` for an alignment of other shapes, or targets of
    other places, and ``ValueError`` for a mutual teacher that is not given: a student would else learn from labels alone, and
    nobody would see it.
    """
    _to(device, student, mentor)
    lesson = Lesson(
        student,
        targets,
        records,
        distillation,
        seed=seed,
        label_shares=label_shares,
        wanted=wanted,
        views=views,
        head=head,
        mentor=mentor,
        device=device,
        auxiliaries=auxiliaries,
        known=known,
    )
    _load(lesson, alignment)
    learnt, watched = parted(records, training.patience, seed)
    held_out = HeldOut(student, watched, training.patience) if watched is not None else None
    dropout = generator(seed, "dropout", *([share.rank] if share.rank else []), device=device)
    carried: dict[str, Carried] = {"dropout": dropout, **lesson.carried, **({"held out": held_out} if held_out is not None else {})}
    use_dropout(student, dropout)
    fit = Fit(
        [*parameters_in_order(student), *lesson.parameters()],
        lambda rows: lesson.loss(learnt.index_select(0, rows), fit.epoch),
        len(learnt),
        training,
        generator(seed, "batches"),
        resume=resume,
        carried=carried,
        lengths=_lengths(student, records, learnt),
        span=span,
        share=share,
    )
    student.train()
    with repeatable(device):
        for mean in fit:
            on_epoch(mean)
            if held_out is not None and held_out.is_enough():
                break
    if held_out is not None:
        held_out.put_back()
    student.eval()
    use_dropout(student, None)
    _to(CPU, student, mentor)
    return Outcome(fit.last, lesson.kept(), fit.epoch, lesson.in_force)


def _to(device: torch.device, *models: nn.Module | None) -> None:
    for model in models:
        if model is not None:
            model.to(device)


def _load(lesson: Lesson, alignment: AlignmentState | None) -> None:
    if alignment:
        try:
            lesson.objective.load_state_dict(without_knowledge(without_teacher(alignment)))
        except RuntimeError as error:
            raise CheckpointError("the alignment kept from the last round does not fit this student and teacher; remove it") from error
        if lesson.mutual is not None:
            lesson.mutual.go_on(alignment)
        if lesson.knowledge is not None:
            lesson.knowledge.go_on(alignment)


def _lengths(student: nn.Module, records: Records, learnt: Tensor) -> Tensor | None:
    task = student.task if isinstance(student, Network) else None
    if not isinstance(task, TextTask):
        return None
    return torch.from_numpy((records.inputs != task.padding).sum(axis=1)).index_select(0, learnt)
