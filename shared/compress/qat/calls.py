"""The calls of torch that a forward makes, told apart by kind and order, so that some of them can be recorded or changed.

An unchanged module is seen from outside by a ``TorchFunctionMode``: ``linear`` number 3 of one forward is ``linear``
number 3 of every other, whatever happens between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor
from torch.overrides import TorchFunctionMode


class Call(NamedTuple):
    """The ``number``-th call (from 0) of a kind in one forward; ``kind`` is the function's name, ``add`` for ``a + b`` too."""

    kind: str
    number: int


class Places(NamedTuple):
    """Where a kind of product has its activation, its weights and its bias, by position and by name, and the weights' channel axis."""

    values: int
    weights: int
    bias: int | None
    names: tuple[str, ...]
    axis: int


PRODUCTS: Mapping[str, Places] = MappingProxyType(
    {
        "linear": Places(0, 1, 2, ("input", "weight", "bias"), 0),
        "conv2d": Places(0, 1, 2, ("input", "weight", "bias"), 0),
        "matmul": Places(0, 1, None, ("input", "other"), -1),
        "mm": Places(0, 1, None, ("input", "mat2"), -1),
        "addmm": Places(1, 2, 0, ("input", "mat1", "mat2"), -1),
    }
)
"""The kinds of call that a Conv, MatMul or Gemm with constant weights can come from."""
LOOK_UPS: Mapping[str, int] = MappingProxyType({"embedding": 1, "index_select": 0, "getitem": 0})
"""The kinds of call that a Gather can come from, and the position of the table among their arguments."""
_REFLECTED = MappingProxyType({"radd": "add", "iadd": "add", "rmatmul": "matmul", "rmul": "mul", "imul": "mul"})


def kind_of(function: Callable[..., Any]) -> str:
    """The kind of a torch function: its name without underscores, reflected and in-place operators like the others."""
    name = getattr(function, "__name__", "").strip("_")
    return _REFLECTED.get(name, name)


def in_place(places: Places, arguments: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
    """The arguments of a product by position, those that were named put where they belong; the rest stays named."""
    found = list(arguments)
    for name in places.names[len(found) :]:
        if name not in named:
            break
        found.append(named[name])
    return found


@dataclass(frozen=True)
class Seen:
    """A call as it was recorded: its arguments by position, and what came of it."""

    call: Call
    arguments: tuple[Any, ...]
    result: Tensor


class Recorder(TorchFunctionMode):
    """Keeps every call that gives a tensor of floating point, in order. Holds on to all of them: use few records."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self._counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Calls and keeps."""
        named, kind = kwargs or {}, kind_of(func)
        result = func(*args, **named)
        call = Call(kind, self._counts[kind])
        self._counts[kind] += 1
        if isinstance(result, Tensor) and result.is_floating_point():
            places = PRODUCTS.get(kind)
            arguments = in_place(places, args, named) if places is not None else args
            self.seen.append(Seen(call, tuple(arguments), result))
        return result


class Changed(TorchFunctionMode):
    """Gives each call of the ``kinds`` to ``change(call, function, arguments, named)``, and leaves the others alone."""

    def __init__(self, kinds: frozenset[str], change: Callable[[Call, Any, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        self._kinds, self._change = kinds, change
        self._counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Calls, changed or not."""
        kind = kind_of(func)
        if kind not in self._kinds:
            return func(*args, **(kwargs or {}))
        call = Call(kind, self._counts[kind])
        self._counts[kind] += 1
        return self._change(call, func, args, kwargs or {})
