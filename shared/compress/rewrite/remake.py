"""A student made again with some of its settings changed, and every weight that still has its place."""

from __future__ import annotations

from typing import Any

import torch

from shared.models.build import build
from shared.models.network import Network
from shared.settings import NetworkSettings


def remade(student: Network, **changes: Any) -> Network:
    """The student with changed settings; tensors of the same name and shape are the old ones, others new.

    Raises pydantic's ``ValidationError`` and :class:`shared.errors.ConfigError` for settings that do not fit.
    """
    settings = NetworkSettings.model_validate(student.settings.model_dump() | changes)
    made = build(settings, student.task, student.normalisation, seed=0)
    given = student.state_dict()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name in given and given[name].shape == tensor.shape:
                tensor.copy_(given[name])
    return made


def shared_entry(entries: list[Any]) -> Any:
    """A setting with one entry a block: the entry itself where all are equal, else a tuple."""
    return entries[0] if all(entry == entries[0] for entry in entries) else tuple(entries)
