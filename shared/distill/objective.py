"""The whole loss: a declared list of weighted terms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shared.distill.attention_alignment import AttentionAlignment
from shared.distill.hard_labels import HardLabels
from shared.distill.hidden_alignment import HiddenAlignment
from shared.distill.soft_targets import SoftTargets
from shared.distill.term import Term
from shared.models.features import Features
from shared.settings import DistillationSettings

Declared = list[tuple[str, float, Term]]
"""Name, weight and term; the name is that of the term's parameters in the alignment file."""


class Objective(nn.Module):
    """``sum_i weight_i * term_i``."""

    def __init__(self, declared: Declared) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight, _ in declared}
        self.terms = nn.ModuleDict({name: term for name, _, term in declared})

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """A scalar; ``labels`` int64 ``(batch,)``."""
        total = student.logits.new_zeros(())
        for name, term in self.terms.items():
            total = total + self.weights[name] * term(student, teacher, labels)
        return total


def declare(settings: DistillationSettings, student: Features, teacher: Features | None, generator: torch.Generator) -> Objective:
    """The objective that the settings ask for; without a teacher, hard labels alone. Terms of weight 0 are not computed.

    ``student`` and ``teacher`` are features of any record, for their shapes; ``generator`` fills the projections.
    """
    if teacher is None:
        return Objective([("hard", 1.0, HardLabels())])
    declared: Declared = [
        ("hard", 1.0 - settings.soft_weight, HardLabels()),
        ("soft", settings.soft_weight, SoftTargets(settings.temperature)),
    ]
    if settings.hidden_weight and student.hidden_states and teacher.hidden_states:
        declared.append(("hidden", settings.hidden_weight, HiddenAlignment(student, teacher, settings.depth_decay, generator)))
    if settings.attention_weight and student.attentions and teacher.attentions:
        declared.append(("attention", settings.attention_weight, AttentionAlignment(student, teacher, settings.depth_decay)))
    return Objective([entry for entry in declared if entry[1] > 0])


def needs_inside(settings: DistillationSettings) -> bool:
    """Whether any term looks past the teacher's logits."""
    return settings.hidden_weight > 0 or settings.attention_weight > 0
