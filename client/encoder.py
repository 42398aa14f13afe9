"""From what the workbench gives to what is masked: error feedback, clipping, ring words, noise, the clip count.

Error feedback (Karimireddy et al. 2019, "Error feedback fixes SignSGD", algorithm 2): what the ring could not say of an
update is kept and added to the next one. It never leaves the institution. What clipping takes away is not kept.

An update is clipped, and counted as within the clip norm or not, before what is left over is added: that is no part of what
was learnt in this round. In a ring of few steps it may well be longer than the clip norm, and would be clipped away, and drive
up a clip norm that follows the count, and with it the next rounding. Over a run an institution still sends no more than its
clipped updates and one residual. Where noise is added the sum of both is clipped, for its norm is the sensitivity.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from client.residuals import Residuals
from client.site import round_generator
from shared.privacy.noise import discrete_gaussian
from shared.secagg.encoding import DTYPES, clip_factor, count_offset, quantise_unclipped, represented
from shared.secagg.fragments import cells
from shared.secagg.messages import Plan, Words
from shared.task import Task
from shared.work import AnswerWork, TrainWork, Work, counter_fields, field_slices


class Contribution(Protocol):
    """What the workbench gives back: ``update float32 (d,)`` or ``None``, a sample ``weight``, ``counters int64 (k,)``."""

    @property
    def update(self) -> NDArray[np.float32] | None:
        """The change of the student, or of the consensus; ``None`` where the work only counts."""
        ...

    @property
    def weight(self) -> int:
        """How many records stand behind it."""
        ...

    @property
    def counters(self) -> NDArray[np.int64]:
        """The counters in ``shared.work.counter_fields`` order."""
        ...


@dataclass(frozen=True)
class Encoded:
    """What is masked: ring words ``(d,)``, sample weight, counters ``uint64 (k,)``."""

    words: Words
    weight: int
    counters: NDArray[np.int64]


@dataclass(frozen=True)
class Encoder:
    """Encodes the contributions of one institution. ``random(n)`` gives n secret uniform bytes, for noise alone."""

    institution: str
    seed: int
    task: Task
    residuals: Residuals
    random: Callable[[int], bytes] = os.urandom

    def encode(self, plan: Plan, work: Work, done: Contribution) -> Encoded:
        """The same arguments give the same words, but for noise. Raises :class:`shared.secagg.errors.IllegalVector`."""
        # The cap is the most that any institution may count for; more records than that weigh no more.
        weight = min(done.weight, plan.weight_cap)
        if not isinstance(work, TrainWork | AnswerWork) or done.update is None:
            return Encoded(np.zeros(0, DTYPES[plan.layout.width]), weight, done.counters)
        clip_factor(done.update, plan)  # refuses what is no update before anything is added to it
        own = _within_fragment(done.update, plan, self.institution)
        factor = clip_factor(own, plan)
        update = np.float32(factor) * own
        if work.error_feedback:
            update += self.residuals.load(plan.run, work.version, update.size, work.begun)
        if plan.noise:
            # What rounding left over counts towards the sensitivity too.
            update *= np.float32(clip_factor(update, plan))
        rounding = round_generator(self.seed, self.institution, plan.round, "rounding")
        words = quantise_unclipped(update, weight, plan, rounding, institution=self.institution)
        if work.error_feedback:
            self.residuals.save(plan.run, work.version, update - represented(words, weight, plan))
        counters = self._counted(done.counters, work, plan, factor == 1.0)
        return Encoded(self._noised(words, plan), weight, weighed(counters, work, self.task, weight))

    def _noised(self, words: Words, plan: Plan) -> Words:
        if not plan.noise:
            return words
        noise = discrete_gaussian(plan.noise, words.size, self.random)
        noised: Words = words + noise.astype(words.dtype)  # modulo the ring, as the sum is
        return noised

    def _counted(self, counters: NDArray[np.int64], work: TrainWork | AnswerWork, plan: Plan, unclipped: bool) -> NDArray[np.int64]:
        counted = counters.copy()
        place = dict(field_slices(counter_fields(work, self.task)))["unclipped"]
        noise = int(discrete_gaussian(plan.count_noise, 1, self.random)[0]) if plan.count_noise else 0
        # Counters are not negative: the offset is beyond what the noise reaches, and the coordinator takes it off the sum.
        counted[place] = max(0, int(unclipped) + noise + count_offset(plan))
        return counted


def weighed(counters: NDArray[np.int64], work: Work, task: Task, weight: int) -> NDArray[np.int64]:
    """The counters with no more than the institution's capped sample ``weight`` at any head, as its update has it."""
    found, place = counters.copy(), dict(field_slices(counter_fields(work, task))).get("head_weights", slice(0, 0))
    found[place] = np.minimum(found[place], weight)
    return found


def _within_fragment(update: NDArray[np.float32], plan: Plan, institution: str) -> NDArray[np.float32]:
    if not plan.fragments:
        return update
    kept = np.zeros_like(update)
    for cell in cells(plan):
        if cell.trained_by(institution):
            for start, stop in cell.ranges:
                kept[start:stop] = update[start:stop]
    return kept
