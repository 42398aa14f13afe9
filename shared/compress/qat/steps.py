"""The steps of a student's weights: searched anew for every batch that is learnt from, kept while the weights stay."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.compress.qat.calls import Call
from shared.compress.qat.fake import step_sizes
from shared.compress.weights import channel_scales


class Steps:
    """Steps by call. They depend on the weights alone, so that a fit that was killed goes on as it would have."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[Call, tuple[Tensor, Tensor]] = {}

    def of(self, call: Call, weights: Tensor, axis: int) -> Tensor:
        """float32 ``(channels,)``. Where no gradient is wanted they are exactly those of the file, else nearly always."""
        if torch.is_grad_enabled():
            return step_sizes(weights, axis, self._limit)
        before, steps = self._kept.get(call, (None, None))
        if before is None or steps is None or before.device != weights.device or not torch.equal(before, weights):
            still = weights.detach()
            found = channel_scales(still.cpu().numpy(), axis % still.dim(), self._limit)
            before, steps = still.clone(), torch.from_numpy(found).to(weights.device)
            self._kept[call] = before, steps
        return steps
