"""Local training should not leave where it started from (FedProx, Li et al. 2020, eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Anchor:
    """``mu / 2 * ||w - w_0||²`` over all trainable weights, ``w_0`` those at the start; ``mu`` at least 0, and 0 is no anchor."""

    def __init__(self, parameters: Sequence[nn.Parameter], mu: float) -> None:
        self._parameters, self._mu = parameters, mu
        self._start = [parameter.detach().clone() for parameter in parameters]

    def pull(self) -> Tensor:
        """The penalty of now, a scalar."""
        squares = [(now - start).square().sum() for now, start in zip(self._parameters, self._start, strict=True)]
        return self._mu / 2 * torch.stack(squares).sum()
