"""A model as one safetensors file that says what it is: weights, and network, task and normalisation as typed JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from shared.errors import CheckpointError, FedstillError
from shared.files import PUBLIC_MODE, read_bytes, write_atomic
from shared.frozen import Frozen
from shared.models.build import build
from shared.models.network import Network
from shared.settings import NetworkSettings
from shared.task import Task
from shared.work import Normalisation

_KEY = "fedstill"


class ModelCard(Frozen):
    """Everything needed to make the model again but its weights."""

    format: Literal["fedstill-model-1"] = "fedstill-model-1"
    network: NetworkSettings
    task: Task
    normalisation: Normalisation


def card_of(model: Network) -> ModelCard:
    """What a model is."""
    return ModelCard(network=model.settings, task=model.task, normalisation=model.normalisation)


def model_bytes(model: Network) -> bytes:
    """The file's content: equal for equal models."""
    # One metadata key only: the library writes several in an order that changes from run to run.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    content: bytes = save(tensors, {_KEY: card_of(model).canonical().decode()})
    return content


def save_model(path: Path, model: Network, *, mode: int = PUBLIC_MODE) -> None:
    """Writes the model whole or not at all. Raises :class:`ResourceError` where the disk says no."""
    write_atomic(path, model_bytes(model), mode=mode)


def load_model(path: Path) -> Network:
    """The model that a file holds, not in training mode.

    Raises :class:`MissingFileError`, and :class:`CheckpointError` for a file that is damaged, is no model of fedstill's, or
    holds weights that are not finite or do not fit what it says it is.
    """
    read_bytes(path, what="model")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        card = ModelCard.parse(metadata.get(_KEY, "").encode())
        model = build(card.network, card.task, card.normalisation, seed=0)
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, ValueError) as error:
        kind = "says nothing of its model" if isinstance(error, ValidationError) else "is damaged"
        raise CheckpointError(f"{path} {kind} or was not written by this release; write it again or restore a copy") from error
    except (RuntimeError, KeyError, FedstillError) as error:
        raise CheckpointError(f"{path} holds weights that do not fit the model it names; write it again or restore a copy") from error
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise CheckpointError(f"{path} holds a NaN or an infinity among its weights; fit the model again")
    return model
