"""What all institutions together answer, learnt beside the own lessons on records that are nobody's (FedMD, Li & Wang 2019).

The paper learns from the consensus first and from the own records after it. Here both are in every step, so that the own
records, which are often of few labels, do not wear off what the consensus had taught. A batch of proxy records is drawn anew
for each batch of own ones, of the same size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features, features
from shared.models.network import trimmed_for


@dataclass(frozen=True)
class Consensus:
    """``inputs``: proxy records in the task's raw form, ``table``: logits float32 ``(records, labels)``; ``weight`` at ``temperature``."""

    inputs: NDArray[Any]
    table: NDArray[np.float32]
    weight: float
    temperature: float


class ConsensusLesson:
    """``weight · T² mean_b KL(softmax(consensus_b / T) || softmax(student_b / T))`` over a batch that ``generator`` draws.

    The generator is all that changes from batch to batch: whoever keeps a fit keeps it too.
    """

    def __init__(self, consensus: Consensus, generator: torch.Generator) -> None:
        self.generator = generator
        self._inputs, self._table = torch.from_numpy(consensus.inputs), torch.from_numpy(consensus.table)
        self._weight, self._term = consensus.weight, SoftTargets(consensus.temperature)

    def loss(self, student: nn.Module, count: int) -> Tensor:
        """A scalar over ``count`` proxy records, or as many as there are."""
        rows = torch.randperm(len(self._table), generator=self.generator)[:count]
        found = features(student, trimmed_for(student, self._inputs.index_select(0, rows)))
        losses: Tensor = self._term(found, Features(self._table.index_select(0, rows)), rows)
        return self._weight * losses.mean()
