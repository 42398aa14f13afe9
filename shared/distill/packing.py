"""Features as plain arrays of fixed width per record, half as precise and a half as large: what is kept on disk."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shared.distill.sparse import largest, spread
from shared.frozen import Frozen
from shared.models.features import Features

LARGEST = 65_504.0
"""The largest float16; larger figures, which some language models have inside, are cut to it."""


class Field(Frozen):
    """One array: its ``name``, the type of its numbers, and a record's ``shape``."""

    name: str
    type: Literal["float16", "int32", "bool"]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of one record."""
        return math.prod(self.shape) * np.dtype(self.type).itemsize


class Layout(Frozen):
    """How features lie in arrays: ``width`` labels, of which ``top_k`` are kept (0: all), and padded tokens filled up to ``tokens``."""

    width: int
    top_k: int
    tokens: int
    fields: tuple[Field, ...]

    @property
    def bytes(self) -> int:
        """Bytes of one record."""
        return sum(field.bytes for field in self.fields)


def layout_of(features: Features, top_k: int, tokens: int) -> Layout:
    """The layout for features like these; ``tokens`` is the longest record's number where tokens are padded, else not used."""
    width = features.logits.shape[1]
    kept = top_k if 0 < top_k < width else 0
    padded = tokens if features.mask is not None else 0
    arrays = _arrays(_filled(features, padded), kept)
    fields = tuple(Field(name=name, type=str(array.dtype), shape=array.shape[1:]) for name, array in arrays.items())
    return Layout(width=width, top_k=kept, tokens=padded, fields=fields)


def packed(features: Features, layout: Layout) -> dict[str, NDArray[Any]]:
    """The arrays ``(batch, ...)`` of a batch, by the layout's names."""
    return _arrays(_filled(features, layout.tokens), layout.top_k)


def unpacked(arrays: dict[str, NDArray[Any]], layout: Layout) -> Features:
    """Features in float32 from the arrays of some records: :func:`packed` backwards, but for rounding and the spread-out rest."""
    tensors = {field.name: torch.from_numpy(arrays[field.name]) for field in layout.fields}
    figures = {name: tensor.to(torch.float32) for name, tensor in tensors.items() if tensor.dtype == torch.float16}
    if layout.top_k:
        logits = spread(figures["logits"], tensors["labels"].to(torch.int64), figures["rest"], layout.width)
    else:
        logits = figures["logits"]
    inside = {kind: tuple(figures[name] for name in sorted(figures) if name.startswith(kind)) for kind in ("hidden", "attention")}
    return Features(logits, inside["hidden"], inside["attention"], tensors.get("mask"))


def _arrays(features: Features, top_k: int) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    if top_k:
        values, labels, rest = largest(features.logits.to(torch.float32), top_k)
        found = {"logits": _half(values), "labels": labels.numpy().astype(np.int32), "rest": _half(rest)}
    else:
        found = {"logits": _half(features.logits)}
    found |= {f"hidden-{place:03d}": _half(state) for place, state in enumerate(features.hidden_states)}
    found |= {f"attention-{place:03d}": _half(_over_heads(one)) for place, one in enumerate(features.attentions)}
    return found if features.mask is None else found | {"mask": features.mask.numpy().astype(np.bool_)}


def _over_heads(maps: Tensor) -> Tensor:
    # Alignment compares the mean over heads, whose numbers may differ: keeping them apart would cost as many times the room.
    return maps.mean(dim=1, keepdim=True) if maps.dim() == 4 else maps


def _half(tensor: Tensor) -> NDArray[np.float16]:
    half: NDArray[np.float16] = tensor.to(torch.float32).clamp(-LARGEST, LARGEST).to(torch.float16).contiguous().numpy()
    return half


def _filled(features: Features, tokens: int) -> Features:
    # Real tokens come first, so only padding is cut; what is filled up is masked out.
    if features.mask is None:
        return features
    return Features(
        features.logits,
        tuple(_to_length(state, tokens, (1,)) for state in features.hidden_states),
        tuple(_to_length(one, tokens, range(2, one.dim()) if one.dim() > 2 else (1,)) for one in features.attentions),
        _to_length(features.mask, tokens, (1,)),
    )


def _to_length(tensor: Tensor, tokens: int, places: range | tuple[int, ...]) -> Tensor:
    for place in places:
        tensor = tensor.narrow(place, 0, min(tensor.shape[place], tokens))
        behind = [0, 0] * (tensor.dim() - 1 - place)
        tensor = functional.pad(tensor, (*behind, 0, tokens - tensor.shape[place]))
    return tensor
