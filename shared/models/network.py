"""What every teacher and student is: a module that takes raw records, and knows its size, its task and its normalisation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.models.device import CPU, device_of
from shared.models.features import Features
from shared.settings import NetworkSettings
from shared.task import Task, TextTask
from shared.work import Normalisation


class Network(nn.Module, ABC):
    """Base of the model families. ``forward(inputs) -> logits (batch, labels)``, ``inputs`` raw as :mod:`shared.task` says."""

    def __init__(self, settings: NetworkSettings, task: Task, normalisation: Normalisation) -> None:
        super().__init__()
        self.settings = settings
        self.task = task
        self.normalisation = normalisation

    @abstractmethod
    def features(self, inputs: Tensor) -> Features:
        """Logits with the states and attention maps on the way to them."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """As :meth:`forward`."""
        logits: Tensor = super().__call__(*args, **kwargs)
        return logits


BATCH = 256
"""Records that are looked at together where nothing is learnt: bounds memory, and is fixed so that results are bit-identical."""


def predict(model: nn.Module, inputs: NDArray[Any]) -> NDArray[np.int64]:
    """The most likely label of each raw record, int64 ``(n,)``."""
    classes: NDArray[np.int64] = predict_logits(model, inputs).argmax(axis=1).astype(np.int64)
    return classes


def predict_logits(model: nn.Module, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Logits ``(n, labels)`` of raw records, in batches of :data:`BATCH`, outside training mode."""
    was_training = model.training
    model.eval()
    device = device_of(model)
    with torch.no_grad():
        batches = [inputs[start : start + BATCH] for start in range(0, max(len(inputs), 1), BATCH)]
        parts = [trimmed_for(model, torch.from_numpy(np.ascontiguousarray(batch))).to(device) for batch in batches]
        logits = [model(part).to(CPU, torch.float32) for part in parts]
    model.train(was_training)
    joined: NDArray[np.float32] = torch.cat(logits).numpy()
    return joined


def trimmed(inputs: Tensor, padding: int) -> Tensor:
    """A batch of token ids ``(batch, tokens)`` without the columns at its end that are padding in all rows; one is always left."""
    used = torch.nonzero((inputs != padding).any(dim=0))
    return inputs[:, : int(used[-1]) + 1 if len(used) else 1]


def trimmed_for(model: nn.Module, inputs: Tensor) -> Tensor:
    """A batch as the model needs it: :func:`trimmed` where its task is one of texts, else as it is."""
    task = getattr(model, "task", None)
    return trimmed(inputs, task.padding) if isinstance(task, TextTask) else inputs


def count_parameters(model: nn.Module) -> int:
    """How many trainable numbers a model has."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
