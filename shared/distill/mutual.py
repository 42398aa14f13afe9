"""A teacher that learns together with the student: each takes the other's answers for soft targets (FedKD, Wu et al. 2022).

The teacher stays at the institution, and so do the records that it learns from; the student alone is averaged. How much each
trusts the other falls with how wrong both still are: what one learns from the other is divided by the sum of their losses on the labels
(the paper's adaptive mutual distillation, Methods).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shared.distill.hard_labels import HardLabels
from shared.distill.soft_targets import SoftTargets
from shared.errors import CheckpointError
from shared.models.features import Features, features
from shared.models.network import trimmed_for

SMALLEST = 1e-3
"""The sum of both losses counts at least this: two models that have learnt everything would else follow each other only."""
PREFIX = "mutual."


class MutualTeacher(nn.Module):
    """The teacher of one ``distil`` call. Its weights are learnt with the student's, and kept with the alignment from round to round."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self._soft, self._hard = SoftTargets(temperature), HardLabels()

    def forward(self, inputs: Tensor) -> Features:
        """Features of a batch of raw records, with gradient."""
        return features(self.model, trimmed_for(self.model, inputs))

    def loss(self, teacher: Features, student: Features, labels: Tensor) -> Tensor:
        """``L_t + T² KL(student || teacher) / (L_t + L_s)``: a scalar; nothing of it moves the student."""
        still = Features(student.logits.detach())
        mistakes: Tensor = self._hard(teacher, None, labels).mean()
        mutual: Tensor = self._soft(teacher, still, labels).mean()
        return mistakes + mutual / self.distrust(teacher, student, labels)

    def distrust(self, teacher: Features, student: Features, labels: Tensor) -> Tensor:
        """``L_t + L_s``, the two losses on the labels, without gradient: what either learns from the other is divided by it."""
        with torch.no_grad():
            both = sum((self._hard(one, None, labels).mean() for one in (teacher, student)), start=torch.zeros(()))
            return both.clamp_min(SMALLEST)

    def kept(self) -> dict[str, Tensor]:
        """The weights, under names that no term of the objective has."""
        return {PREFIX + name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}

    def go_on(self, alignment: Mapping[str, Tensor]) -> None:
        """Takes over what an earlier round left, if it left any. Raises :class:`CheckpointError` for weights of another shape."""
        found = {name.removeprefix(PREFIX): tensor for name, tensor in alignment.items() if name.startswith(PREFIX)}
        if not found:
            return
        try:
            self.model.load_state_dict(found)
        except RuntimeError as error:
            raise CheckpointError("the teacher kept from the last round is of another shape; remove the alignment files") from error


def without_teacher(alignment: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of an alignment that belongs to the objective's terms."""
    return {name: tensor for name, tensor in alignment.items() if not name.startswith(PREFIX)}
