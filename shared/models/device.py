"""Where a fit computes: a device by its name, what is drawn there, and how far it repeats itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from shared.errors import ConfigError

CPU = torch.device("cpu")
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def chosen_device(name: str) -> torch.device:
    """The device that a setting names: ``auto`` (the first CUDA GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` never is ``mps``: it lacks kernels that some terms need. Raises :class:`ConfigError` where the device is not there, or the
    name is no device's.
    """
    if name == "auto":
        return _cuda("cuda", 0) if torch.cuda.is_available() else CPU
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and (kind != "cuda" or not number.isdecimal())):
        raise ConfigError(f"device '{name}' is none of auto, cpu, cuda, cuda:N and mps; set one of them")
    if kind == "cuda":
        return _cuda(name, int(number or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' is not there: this machine or this build of torch has no Metal; set 'auto' or 'cpu'")
    return torch.device(kind)


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are; the CPU if it has none."""
    first = next(model.parameters(), None)
    return CPU if first is None else first.device


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CUDA GPU: the kernels that give equal bits for equal arguments, as long as it lasts, wherever torch has such kernels.

    For the others torch warns and goes on (the gradient of adaptive pooling is one: image students whose maps are larger than 8 × 8). It
    is a switch of the whole process, so fits on GPUs of one process should not overlap. Elsewhere it does nothing: the CPU's kernels
    are repeatable on one number of threads.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _cuda(name: str, number: int) -> torch.device:
    if not torch.cuda.is_available():
        raise ConfigError(f"device '{name}' is not there: this machine, or this build of torch, has no CUDA GPU; set 'auto' or 'cpu'")
    if number >= torch.cuda.device_count():
        raise ConfigError(
            f"device '{name}' is not there: the machine has {torch.cuda.device_count()} CUDA GPUs, counted from 0; set another"
        )
    # cuBLAS reads it when it is first used: without it no matrix product is repeatable.
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    return torch.device("cuda", number)
