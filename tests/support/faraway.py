"""A second device without a GPU: it computes on the CPU, but says that it is elsewhere and refuses what lies on two devices.

Tensors on :data:`FAR` hold one of the CPU inside. Every operation goes through :func:`_performed`, which runs it on the inner tensors,
and raises where one that is far away meets one that is not, as a GPU does; a tensor of no dimensions may be anywhere. So a fit that
runs here places everything that it computes with, and its numbers are the CPU's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAR = torch.device("lazy", 0)
"""A name that torch knows, and nothing is behind."""


class Elsewhere(Tensor):
    """A tensor on :data:`FAR`."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype, device=FAR
        )
        return made

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        assert isinstance(other, Elsewhere), "a parameter that is far away was given values that are not"
        self.inner = other.inner

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _performed(function, args, kwargs or {})


class _Faraway(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _performed(function, args, kwargs or {})


@contextmanager
def faraway() -> Iterator[torch.device]:
    """Inside, tensors can be moved to and made on :data:`FAR`."""
    with _Faraway():
        yield FAR


def _performed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name, asked = str(function), kwargs.get("device")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    far = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    moved = name.startswith(("aten._to_copy", "aten.copy_"))
    if far and not moved and any(tensor.dim() and not isinstance(tensor, Elsewhere) for tensor in tensors):
        raise RuntimeError(f"{name} was given tensors on two devices")
    near = {key: torch.device("cpu") if key == "device" and value is not None else value for key, value in kwargs.items()}
    found = function(*tree_map(_inner, args), **tree_map(_inner, near))
    if function._schema.is_mutable and name.split(".")[1].endswith("_"):
        return args[0]
    if not (torch.device(asked).type == FAR.type if asked is not None else far):
        return found
    return tree_map(lambda one: Elsewhere(one) if isinstance(one, Tensor) else one, found)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Elsewhere) else value
