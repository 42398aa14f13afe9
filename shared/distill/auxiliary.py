"""Records that are nobody's, with answers to learn beside the own lessons: a consensus on proxy records, or what a graph imagines.

A consensus is what all institutions together answer (FedMD, Li & Wang 2019). The paper learns from it first and from the own
records after it. Here both are in every step, so that the own records, which are often of few labels, do not wear off what the
others taught. Imagined records and their answers are a knowledge graph's (:mod:`shared.knowledge.imagined`). A batch of them is drawn
anew for each batch of own records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features, features
from shared.models.network import Network
from shared.models.seeds import generator
from shared.task import TextTask


@dataclass(frozen=True)
class Auxiliary:
    """``inputs``: records in the task's raw form, ``table``: their answers as logits float32 ``(records, labels)``; ``weight`` at
    ``temperature``; ``batch`` records beside each batch of own ones, 0: as many as that has. ``name`` seeds what is drawn. ``even``: the
    answers take all labels for equally frequent, so that the student's logits of its own records get their label shares on top.
    """

    name: str
    inputs: NDArray[Any]
    table: NDArray[np.float32]
    weight: float
    temperature: float
    batch: int = 0
    even: bool = False


class AuxiliaryLesson:
    """``weight · T² mean_b KL(softmax(answers_b / T) || softmax(student_b / T))`` over a batch that ``generator`` draws.

    The generator is all that changes from batch to batch: whoever keeps a fit keeps it too.
    """

    def __init__(self, auxiliary: Auxiliary, generator: torch.Generator) -> None:
        self.generator = generator
        self._inputs, self._table = torch.from_numpy(auxiliary.inputs), torch.from_numpy(auxiliary.table)
        self._weight, self._term, self._batch = auxiliary.weight, SoftTargets(auxiliary.temperature), auxiliary.batch

    def draw(self, own: int) -> tuple[Tensor, Tensor]:
        """Inputs and answers of a batch beside ``own`` records: no record twice, and at most as many as there are."""
        rows = torch.randperm(len(self._table), generator=self.generator)[: self._batch or own]
        return self._inputs.index_select(0, rows), self._table.index_select(0, rows)

    def loss(self, found: Features, answers: Tensor) -> Tensor:
        """A scalar: the student's features of the batch's inputs against its ``answers``."""
        losses: Tensor = self._term(found, Features(answers.to(found.logits.device)), torch.arange(len(answers)))
        return self._weight * losses.mean()


class Beside:
    """All auxiliary records of a fit, seen in one pass with the own ones where their shapes agree."""

    def __init__(self, student: nn.Module, auxiliaries: Sequence[Auxiliary], seed: int) -> None:
        kept = [one for one in auxiliaries if one.weight]
        self.lessons = {one.name: AuxiliaryLesson(one, generator(seed, one.name)) for one in kept}
        self.shares = next(([1.0 / one.table.shape[1]] * one.table.shape[1] for one in kept if one.even), [])
        """The label shares that the answers suppose, where that is even ones; else empty."""
        # Texts are cut to the longest of their batch: those of two kinds would pad each other.
        self._joint = not (isinstance(student, Network) and isinstance(student.task, TextTask))
        self._student = student

    def seen(self, own: Tensor, placed: Callable[[Tensor], Tensor]) -> tuple[Features, Tensor | None]:
        """The student's features of ``own`` inputs, and the loss of the auxiliary batches drawn beside them, if there are any.

        ``placed`` brings inputs to where the student is.
        """
        drawn = [(lesson, *lesson.draw(len(own))) for lesson in self.lessons.values()]
        batches = [own, *(placed(inputs) for _, inputs, _ in drawn)]
        found, *others = _together(self._student, batches) if self._joint else [features(self._student, batch) for batch in batches]
        losses = [lesson.loss(other, answers) for (lesson, _, answers), other in zip(drawn, others, strict=True)]
        return found, torch.stack(losses).sum() if losses else None


def _together(student: nn.Module, batches: Sequence[Tensor]) -> list[Features]:
    if len(batches) == 1:
        return [features(student, batches[0])]
    whole = features(student, torch.cat(list(batches)))
    ends = accumulate(len(batch) for batch in batches)
    return [_part(whole, start, end) for start, end in pairwise([0, *ends])]


def _part(whole: Features, start: int, end: int) -> Features:
    return whole.map(lambda tensor: tensor[start:end])
