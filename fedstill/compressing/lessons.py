"""The records of a compression and who teaches on them: what every cut is healed with, and what it is judged by."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedstill.compressing.steps import Steps, step_name
from shared.data.records import Records, Split, labelled
from shared.errors import DataError

if TYPE_CHECKING:
    from shared.compress.quantise import Ranges
    from shared.config import FederationConfig
    from shared.distill.depth import Wanted
    from shared.distill.evaluation import Evaluation
    from shared.distill.targets import Targets
    from shared.models import Network
    from shared.settings import TrainingSettings
    from shared.teachers import Teacher

WATCHED = 0.4
"""The part of the held-out records by which cuts are accepted or not: never those that the gate counts. Records that the student
has learnt from would not do: it knows them better than any cut student that meets new ones."""
MOST_WATCHED = 4096
CACHE_MB = 16_384
HEALING_RATE = 0.5
"""A cut student starts near where it will end: it learns at this part of the rate at which it once learnt."""


@dataclass(frozen=True)
class Parts:
    """``learn`` to heal with, ``watch`` to judge each cut by, ``test`` for the gate alone."""

    learn: Records
    watch: Records
    test: Records


def parts_of(split: Split, seed: int) -> Parts:
    """Takes :data:`WATCHED` of the labelled held-out records for judging. Raises :class:`DataError` where there are too few."""
    held_out = labelled(split.test)
    count = min(MOST_WATCHED, int(WATCHED * len(held_out)))
    if count < 1 or not len(split.train):
        raise DataError(f"{len(split.train)} records to learn from and {len(held_out)} held out are too few to compress on; give more")
    places = np.random.default_rng(seed).permutation(len(held_out))
    return Parts(split.train, held_out.take(np.sort(places[:count])), held_out.take(np.sort(places[count:])))


class Lessons:
    """Heals students by short distillations from one teacher; what it says is kept in ``folder`` as long as students ask for the same,
    and what was healed in ``steps``: it is not healed again.
    """

    def __init__(self, folder: Path, steps: Steps, parts: Parts, config: FederationConfig, teacher: Teacher, seed: int) -> None:
        self.parts, self.teacher, self._folder, self._steps, self._seed = parts, teacher, folder, steps, seed
        self.distillation = config.distillation.model_copy(update={"teacher": "own", "views": 1})
        rate = HEALING_RATE * config.training.learning_rate
        self.training = config.training.model_copy(update={"learning_rate": rate, "annealing": "round"})

    def targets(self, student: Network) -> tuple[Targets, Wanted]:
        """What the teacher says of the records to learn from, as far as such a student needs it."""
        from shared.distill.cache import cached_targets, institution_views, order_of
        from shared.distill.depth import Wanted

        order = order_of(student.settings, student.task, self.distillation, self.teacher)
        views = institution_views(student.task, 1, self._seed, "compress")
        targets = cached_targets(self._folder, self.teacher, self.parts.learn, views, order, limit_mb=CACHE_MB)
        return targets, Wanted(order.hidden, order.attentions)

    def heal(self, student: Network, epochs: int, purpose: str, on_epoch: Callable[[float], object] = lambda loss: None) -> Network:
        """A copy of ``student`` after ``epochs`` of distillation; ``purpose`` names it for the seed. 0 epochs: as it is."""
        if not epochs:
            return copy.deepcopy(student)
        training = self.training.model_copy(update={"epochs": epochs})
        return self._steps.student(
            self._name(student, training, "heal", purpose), lambda: self._healed(student, training, purpose, on_epoch)
        )

    def _healed(self, student: Network, training: TrainingSettings, purpose: str, on_epoch: Callable[[float], object]) -> Network:
        from shared.distill.trainer import distil
        from shared.models.seeds import derive

        healed = copy.deepcopy(student)
        targets, wanted = self.targets(student)
        seed = derive(self._seed, "heal", purpose)
        distil(healed, targets, self.parts.learn, training, self.distillation, seed=seed, wanted=wanted, on_epoch=on_epoch)
        return healed

    def _name(self, student: Network, training: TrainingSettings, *purpose: str) -> str:
        settings = (training.model_dump_json(), self.distillation.model_dump_json(), str(self._seed), *purpose)
        return step_name(student, self.parts.learn, self.teacher.digest, *settings)

    def heal_on_grid(self, student: Network, ranges: Ranges, grid: str, epochs: int) -> tuple[Network, dict[str, tuple[float, float]]]:
        """A copy of ``student`` after ``epochs`` of distillation with the arithmetic of its INT8 file, and the ranges that it learnt.

        Raises :class:`shared.errors.ArtifactError` where the student cannot be matched with its graph.
        """
        training = self.training.model_copy(update={"epochs": epochs})
        name = self._name(student, training, "grid", grid, json.dumps(sorted(ranges.items())))
        return self._steps.student_with_ranges(name, lambda: self._healed_on_grid(student, ranges, grid, training))

    def _healed_on_grid(
        self, student: Network, ranges: Ranges, grid: str, training: TrainingSettings
    ) -> tuple[Network, dict[str, tuple[float, float]]]:
        from shared.compress.qat.heal import heal_quantised
        from shared.models.seeds import derive

        healed = copy.deepcopy(student)
        targets, wanted = self.targets(student)
        seed, learn = derive(self._seed, "heal", grid), self.parts.learn
        found = heal_quantised(healed, targets, learn, training, self.distillation, ranges=ranges, grid=grid, seed=seed, wanted=wanted)
        return healed, found

    def watched(self, student: Network) -> Evaluation:
        """The student's figures on the records that cuts are judged by."""
        from shared.distill import evaluate

        return evaluate(student, self.parts.watch, len(student.task.labels), student.task.heads)


def teacher_of(path: Path | None, student: Network) -> Teacher:
    """The teacher at ``path``, or the student as it is now."""
    from shared.teachers import open_teacher
    from shared.teachers.own import OwnTeacher

    return OwnTeacher(copy.deepcopy(student)) if path is None else open_teacher(path, student.task)
