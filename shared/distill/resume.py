"""A fit that is killed half-way goes on where it was kept last: one private file, written whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from shared.files import PRIVATE_MODE, write_atomic

INTERVAL_S = 30.0
"""Seconds of work that a kill may cost: keeping a small student takes milliseconds."""
_KEY = "fit"


class Carried(Protocol):
    """What changes while a fit runs beside its parameters; a ``torch.Generator`` is one."""

    def get_state(self) -> Tensor:
        """All of it as one tensor."""
        ...

    def set_state(self, state: Tensor) -> object:
        """Sets all of it."""
        ...


class Buffers:
    """Some tensors of a model, all of one type, as one that is carried."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors

    def get_state(self) -> Tensor:
        """One vector, a copy."""
        return torch.cat([torch.zeros(0), *(tensor.detach().reshape(-1).cpu() for tensor in self._tensors)])

    def set_state(self, state: Tensor) -> None:
        """Sets them, in place."""
        start = 0
        with torch.no_grad():
            for tensor in self._tensors:
                tensor.copy_(state[start : start + tensor.numel()].view(tensor.shape))
                start += tensor.numel()


class Resume:
    """The file of one fit. ``key`` names the fit (what it starts from, its records and settings): another's file is not read."""

    def __init__(self, path: Path, key: str, *, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._key = path, key
        self._interval, self._clock = interval_s, clock
        self._last = clock()

    def due(self) -> bool:
        """Whether enough time has gone by since the fit was kept last."""
        return self._clock() - self._last >= self._interval

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Keeps a state. Raises :class:`ResourceError` where the disk says no."""
        content: bytes = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, {_KEY: self._key})
        write_atomic(self._path, content, mode=PRIVATE_MODE)
        self._last = self._clock()

    def load(self) -> dict[str, Tensor] | None:
        """The state kept last; ``None`` if there is none of this fit, or it cannot be read: then the fit starts anew."""
        try:
            with safe_open(self._path, framework="pt") as file:
                if (file.metadata() or {}).get(_KEY) != self._key:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None

    def done(self) -> None:
        """Removes the file: the fit is over, and its result lies elsewhere."""
        self._path.unlink(missing_ok=True)
