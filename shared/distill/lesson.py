"""What one batch teaches: the objective of student and teacher on the same view of the same records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.auxiliary import Auxiliary, Beside
from shared.distill.average import AverageTeacher
from shared.distill.depth import Wanted
from shared.distill.heads import ConfinedTargets, site_heads
from shared.distill.in_force import in_force
from shared.distill.label_shift import label_offset, shifted, teacher_offset
from shared.distill.mutual import MutualTeacher
from shared.distill.objective import Objective, declare
from shared.distill.previous import PreviousStudent
from shared.distill.proximal import Anchor
from shared.distill.resume import Buffers, Carried
from shared.distill.targets import Targets
from shared.distill.views import Views
from shared.knowledge.alignment import KnowledgeAlignment, Known
from shared.models.device import CPU
from shared.models.features import Features, features
from shared.models.network import BATCH, Network, trimmed_for
from shared.models.seeds import generator
from shared.models.vector import parameters_in_order
from shared.settings import DistillationSettings


class Lesson:
    """The loss of a batch, with everything that it needs kept from batch to batch."""

    def __init__(
        self,
        student: nn.Module,
        targets: Targets | None,
        records: Records,
        settings: DistillationSettings,
        *,
        seed: int,
        label_shares: Sequence[float] = (),
        wanted: Wanted | None = None,
        views: Views | None = None,
        head: str | None = None,
        mentor: nn.Module | None = None,
        device: torch.device = CPU,
        auxiliaries: Sequence[Auxiliary] = (),
        known: Known | None = None,
    ) -> None:
        """Arguments as of :func:`shared.distill.trainer.distil`; student and mentor are on ``device`` already.

        Records, labels and what is kept of a teacher stay on the CPU, and go to ``device`` batch by batch.
        """
        self.device = device
        if settings.teacher == "mutual" and mentor is None:
            raise ValueError("distillation.teacher 'mutual' needs the network that learns along: pass it as mentor")
        self._heads = site_heads(student, records.labels, head)
        self._student, self._records, self._settings, self._views = student, records, settings, views
        self._inputs, self._labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
        self._beside = Beside(student, auxiliaries, seed)
        self._offset, self._strength = self._label_shift(label_shares)
        self.mutual = MutualTeacher(mentor, settings.temperature) if mentor is not None and settings.teacher == "mutual" else None
        averaged = settings.teacher in ("average", "pseudo")
        self._average = AverageTeacher(student, self._inputs, settings.average_decay) if averaged else None
        self._teacher = self._asked(targets)
        with torch.no_grad():
            shape = features(student, self._placed(self._inputs[:1]))
        self.objective = self._objective(shape, seed, None if averaged else wanted).to(device)
        self.knowledge = KnowledgeAlignment(known, shape.hidden_states[-1].shape[-1], seed).to(device) if known is not None else None
        self._previous = PreviousStudent(student, self._inputs, settings.temperature) if settings.previous_weight else None
        self._anchor = Anchor(parameters_in_order(student), settings.proximal) if settings.proximal else None

    @property
    def carried(self) -> dict[str, Carried]:
        """What changes from batch to batch beside the parameters that are learnt."""
        found: dict[str, Carried] = {"objective": Buffers(list(self.objective.buffers()))}
        if self._average is not None:
            found["average"] = Buffers(list(self._average.parameters()))
        return {**found, **{name: lesson.generator for name, lesson in self._beside.lessons.items()}}

    def parameters(self) -> list[nn.Parameter]:
        """What is learnt beside the student."""
        beside = [module for module in (self.mutual, self.knowledge) if module is not None]
        return [parameter for module in (self.objective, *beside) for parameter in parameters_in_order(module)]

    def kept(self) -> dict[str, Tensor]:
        """What the next round starts from, by name."""
        own = {name: tensor.detach().cpu().clone() for name, tensor in self.objective.state_dict().items()}
        beside = [module.kept() for module in (self.mutual, self.knowledge) if module is not None]
        return {name: tensor for kept in (own, *beside) for name, tensor in kept.items()}

    def loss(self, rows: Tensor, epoch: int) -> Tensor:
        """The mean over the records at ``rows``, int64 ``(batch,)``, in epoch ``epoch`` from 0."""
        if self._average is not None:
            self._average.follow()
        view = self._views.of(epoch) if self._views is not None else 0
        seen, beside = self._beside.seen(self._batch(rows, view), self._placed)
        value = self._own(shifted(seen, self._offset), rows, view)
        return value if beside is None else value + beside

    def _own(self, found: Features, rows: Tensor, view: int) -> Tensor:
        labels = self._labels.index_select(0, rows).to(self.device)
        found = self._confined(found, labels)
        if self.mutual is not None:
            return self._alongside(self.mutual, found, rows, view, labels)
        taught = cut(self._teacher.take(rows, view), found).to(self.device) if self._teacher is not None else None
        value: Tensor = self.objective(found, taught, labels)
        return self._held_back(value, found, rows, labels)

    def _alongside(self, mutual: MutualTeacher, found: Features, rows: Tensor, view: int, labels: Tensor) -> Tensor:
        teacher = cut(shifted(self._confined(mutual(self._batch(rows, view)), labels), self._offset), found)
        still = teacher.map(lambda tensor: tensor.detach())
        value: Tensor = self.objective(found, still, labels, mutual.distrust(teacher, found, labels))
        return self._held_back(value + mutual.loss(teacher, found, labels), found, rows, labels)

    def _confined(self, found: Features, labels: Tensor) -> Features:
        return found if self._heads is None else self._heads.confined(found, labels)

    def _held_back(self, value: Tensor, found: Features, rows: Tensor, labels: Tensor) -> Tensor:
        """``value`` with what draws the student elsewhere than its lessons do."""
        if self.knowledge is not None:
            value = value + self.knowledge(found, rows, labels)
        if self._previous is not None:
            forgotten = self._previous.forgotten(found, rows, self._offset, lambda one: self._confined(one, labels))
            value = value + self._settings.previous_weight * forgotten.mean()
        return value if self._anchor is None else value + self._anchor.pull()

    def _label_shift(self, shares: Sequence[float]) -> tuple[Tensor | None, float]:
        # What is learnt beside may take all labels for equally frequent: then so must what the student says of its own records.
        strength = 1.0 if self._beside.shares else self._settings.label_correction
        return label_offset(self._labels, self._beside.shares or shares, strength), strength

    def _batch(self, rows: Tensor, view: int) -> Tensor:
        if self._views is None:
            return self._placed(self._inputs.index_select(0, rows))
        return self._placed(torch.from_numpy(self._views.inputs(self._records.inputs, rows.numpy(), view)))

    def _placed(self, inputs: Tensor) -> Tensor:
        # Padding is left out before it travels, and looked for where that costs no wait for a GPU.
        return trimmed_for(self._student, inputs).to(self.device)

    def _asked(self, targets: Targets | None) -> Targets | None:
        if self._settings.teacher == "virtual":
            return None
        chosen: Targets | None = self._average if self._average is not None else targets
        if chosen is None:
            return None
        targets = chosen if self._heads is None else ConfinedTargets(chosen, self._heads, self._labels)
        if self._offset is None:
            return targets
        if self._average is not None:
            # The average leans as little as the student itself, and gets the same offset.
            return Shifted(targets, self._offset)
        return _levelled(targets, self._labels, self._strength)

    def _objective(self, shape: Features, seed: int, wanted: Wanted | None) -> Objective:
        first = torch.zeros(1, dtype=torch.int64)
        # Kept targets are as long as the longest record: only cut as in a batch do they show which places can be compared.
        shown = cut(self._teacher.take(first), shape) if self._teacher is not None else None
        if self.mutual is not None:
            with torch.no_grad():
                shown = self.mutual(self._placed(self._inputs[:1]))
        grid = isinstance(self._student, Network) and self._student.task.family == "image"
        objective = declare(self._settings, shape, shown, generator(seed, "alignment"), wanted, heads=self._heads, grid=grid)
        self.in_force = in_force(objective, self._settings, shape, shown)
        return objective


class Shifted:
    """Targets with an offset on their logits: one that levels the teacher's mean answer, or the student's own."""

    def __init__(self, targets: Targets, offset: Tensor) -> None:
        self._targets, self._offset = targets, offset

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """As :meth:`Targets.take`."""
        return shifted(self._targets.take(rows, view), self._offset)


def cut(teacher: Features, student: Features) -> Features:
    """The teacher's features without the padding that the student's batch has not: both then have the same tokens.

    Unchanged where the teacher has no padding, has no more tokens, or what would be cut off is real.
    """
    if teacher.mask is None or student.mask is None:
        return teacher
    tokens = student.mask.shape[1]
    if teacher.mask.shape[1] <= tokens or bool(teacher.mask[:, tokens:].any()):
        return teacher
    return replace(
        teacher,
        hidden_states=tuple(state[:, :tokens] for state in teacher.hidden_states),
        # A map of activations (batch, tokens) has no columns.
        attentions=tuple(maps[..., :tokens, :tokens] if maps.dim() > 2 else maps[:, :tokens] for maps in teacher.attentions),
        mask=teacher.mask[:, :tokens],
    )


def _levelled(targets: Targets, labels: Tensor, strength: float) -> Targets:
    parts = [targets.take(rows).logits.softmax(dim=-1) for rows in torch.arange(len(labels)).split(BATCH)]  # type: ignore[no-untyped-call]
    return Shifted(targets, teacher_offset(labels, torch.cat(parts), strength))
