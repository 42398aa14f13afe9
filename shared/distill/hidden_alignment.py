"""The student's states should hold what the teacher's hold, up to a learnt linear map (FitNets, Romero et al. 2015; TinyBERT)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.distill.depth import hidden_weight, layer_map
from shared.distill.term import Term, known
from shared.models.features import Features
from shared.models.layers import Linear, initialise


class HiddenAlignment(Term):
    """``1/(S+1) * sum_l w_l * mean((P_l h_l - norm(H_m(l)))²)`` over l = 0..S, with ``w_l`` and ``m`` of ``depth.py``.

    ``h_l``: ``(batch, tokens, width)``, ``H``: ``(batch, tokens', width')``; ``P_l`` is a learnt affine map width -> width';
    ``norm`` gives each token mean 0 and variance 1, so that the loss does not depend on the teacher's scale.
    Where the numbers of tokens differ, both are first averaged over their tokens.
    """

    def __init__(self, student: Features, teacher: Features, decay: float, generator: torch.Generator) -> None:
        """``student`` and ``teacher``: features of any record, for their shapes."""
        super().__init__()
        last = len(student.hidden_states) - 1
        self.map = layer_map(last, len(teacher.hidden_states) - 1)
        self.weights = tuple(hidden_weight(layer, last, decay) / (last + 1) for layer in range(last + 1))
        self.projections = nn.ModuleList(
            Linear(state.shape[-1], teacher.hidden_states[other].shape[-1])
            for state, other in zip(student.hidden_states, self.map, strict=True)
        )
        initialise(self, generator)

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """Mean over batch, tokens and the teacher's width; weighted over layers."""
        total = student.logits.new_zeros(())
        for state, layer, weight, project in zip(student.hidden_states, self.map, self.weights, self.projections, strict=True):
            target = known(teacher).hidden_states[layer]
            if state.shape[1] != target.shape[1]:
                state, target = state.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
            total = total + weight * functional.mse_loss(project(state), functional.layer_norm(target, target.shape[-1:]))
        return total
