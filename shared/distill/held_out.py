"""When a fit has learnt enough: a part of the records that it does not learn from says so, and which weights were best."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from shared.data.records import UNLABELLED, Records
from shared.distill.evaluation import evaluate
from shared.models.network import Network
from shared.models.seeds import generator
from shared.models.vector import parameters_in_order

SHARE = 0.1
FEWEST = 30
"""Fewer labelled records than this are all learnt from: a handful held out would choose by chance."""


def parted(records: Records, patience: int, seed: int) -> tuple[Tensor, Records | None]:
    """The rows that are learnt from, int64, and a seeded tenth of the labelled records, held out where ``patience`` is above 0."""
    labelled = np.flatnonzero(records.labels != UNLABELLED)
    if not patience or len(labelled) < FEWEST:
        return torch.arange(len(records)), None
    order = torch.randperm(len(labelled), generator=generator(seed, "held out"))[: max(int(SHARE * len(labelled)), 1)].numpy()
    held = np.sort(labelled[order])
    return torch.from_numpy(np.setdiff1d(np.arange(len(records)), held)), records.take(held)


class HeldOut:
    """Watches the held-out cross-entropy of a model, and keeps its best weights. A part of a fit's state (:class:`Carried`)."""

    def __init__(self, model: nn.Module, records: Records, patience: int) -> None:
        self._model, self._records, self._patience = model, records, patience
        self._least, self._waited = math.inf, 0
        self._best = self._weights()

    def is_enough(self) -> bool:
        """Looks at the model as it is now; true after ``patience`` looks without a better loss."""
        classes = len(self._model.task.labels) if isinstance(self._model, Network) else int(self._records.labels.max()) + 1
        heads = self._model.task.heads if isinstance(self._model, Network) else ()
        loss = evaluate(self._model, self._records, classes, heads).loss
        self._waited = 0 if loss < self._least else self._waited + 1
        if not self._waited:
            self._least, self._best = loss, self._weights()
        return self._waited >= self._patience

    def put_back(self) -> None:
        """Gives the model its best weights."""
        _fill(parameters_in_order(self._model), self._best)

    def get_state(self) -> Tensor:
        """Least loss, looks since then, and the best weights, float64."""
        return torch.cat([torch.tensor([self._least, self._waited], dtype=torch.float64), self._best.double()])

    def set_state(self, state: Tensor) -> None:
        """Sets all of it."""
        self._least, self._waited, self._best = float(state[0]), int(state[1]), state[2:].to(self._best.dtype)

    def _weights(self) -> Tensor:
        return torch.cat([parameter.detach().reshape(-1) for parameter in parameters_in_order(self._model)]).cpu()


def _fill(parameters: list[nn.Parameter], values: Tensor) -> None:
    start = 0
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(values[start : start + parameter.numel()].view(parameter.shape))
            start += parameter.numel()
