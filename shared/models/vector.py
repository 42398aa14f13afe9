"""A model's trainable parameters as one vector: what is summed under masks, and what the server's optimiser moves."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.errors import CheckpointError, NotFiniteError


def parameters_in_order(model: nn.Module) -> list[nn.Parameter]:
    """The trainable parameters by name: the one order in which all sides read the vector."""
    return [parameter for _, parameter in sorted(model.named_parameters()) if parameter.requires_grad]


def to_vector(model: nn.Module) -> NDArray[np.float32]:
    """float32 ``(d,)``, a copy."""
    parts = [parameter.detach().reshape(-1).to("cpu", torch.float32) for parameter in parameters_in_order(model)]
    vector: NDArray[np.float32] = torch.cat(parts).numpy()
    return vector


def load_vector(model: nn.Module, vector: NDArray[np.floating]) -> None:
    """Sets the parameters. Raises :class:`CheckpointError` for another size, :class:`NotFiniteError` for NaN or infinity."""
    parameters = parameters_in_order(model)
    size = sum(parameter.numel() for parameter in parameters)
    if vector.shape != (size,):
        raise CheckpointError(
            f"the student has {size} parameters, but the vector has shape {vector.shape}; the two sides differ in [student]"
        )
    if not np.isfinite(vector).all():
        raise NotFiniteError("the student's vector holds a NaN or an infinity; lower the learning rate and start from an earlier round")
    values = torch.from_numpy(np.asarray(vector, np.float32).copy())
    start = 0
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(values[start : start + parameter.numel()].reshape(parameter.shape))
            start += parameter.numel()
