"""The student's tokens should start from what the teacher's start from (TinyBERT, Jiao et al. 2020, eq. 9)."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.distill.masks import paired, state_distance
from shared.distill.term import Term, known
from shared.models.features import Features
from shared.models.layers import Linear, initialise


class EmbeddingAlignment(Term):
    """``mean((P h_0 - H_0)²)`` over width and real tokens, ``P`` a learnt affine map width -> width'.

    ``h_0``: ``(batch, tokens, width)``, ``H_0``: ``(batch, tokens', width')``, what goes into the first blocks. Where the numbers of
    tokens differ, both are first averaged over them. The teacher's scale counts, as in the paper; ``adaptive_scale`` takes it out.
    """

    def __init__(self, student: Features, teacher: Features, generator: torch.Generator) -> None:
        """``student`` and ``teacher``: features of any record, for their shapes; the teacher's first state is its place 0."""
        super().__init__()
        self.project = Linear(student.hidden_states[0].shape[-1], teacher.hidden_states[0].shape[-1])
        initialise(self, generator)

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``."""
        state, target, mask = paired(student, known(teacher), 0, 0)
        return state_distance(self.project(state), target, mask)
