"""What the teacher says of each training record: asked once, kept, and never sent anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from shared.errors import CheckpointError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.models.features import Features, features, joined
from shared.models.network import BATCH

LARGEST_CACHE = 2**29
"""Bytes of targets beyond which they are not kept: the teacher is then asked again for every batch."""


class Targets(Protocol):
    """The teacher's features by record."""

    def take(self, rows: Tensor) -> Features:
        """Features of the records at ``rows``, int64 ``(batch,)``."""
        ...


@dataclass(frozen=True)
class LiveTargets:
    """Asks the teacher every time: slower, but of bounded memory."""

    teacher: nn.Module
    inputs: Tensor
    inside: bool

    def take(self, rows: Tensor) -> Features:
        """As :meth:`Targets.take`."""
        with torch.no_grad():
            return _shown(features(self.teacher, self.inputs.index_select(0, rows)), self.inside)


def targets_of(teacher: nn.Module, inputs: NDArray[Any], *, inside: bool) -> Targets:
    """The teacher's features of all records: kept in memory (float32) if they fit in :data:`LARGEST_CACHE`.

    ``inside`` says whether hidden states and attention maps are wanted too.
    """
    teacher.eval()
    live = LiveTargets(teacher, torch.from_numpy(inputs), inside)
    first = live.take(torch.arange(min(BATCH, len(inputs))))
    if _size(first) / max(len(first.logits), 1) * len(inputs) > LARGEST_CACHE:
        return live
    rest = [live.take(rows) for rows in torch.arange(len(inputs)).split(BATCH)[1:]]  # type: ignore[no-untyped-call]
    return joined([first, *rest]).map(lambda tensor: tensor.to(torch.float32).contiguous())


def cached_targets(folder: Path, teacher: nn.Module, inputs: NDArray[Any], *, inside: bool) -> Targets:
    """As :func:`targets_of`, kept in ``folder/targets-DIGEST.safetensors`` too; other targets there are removed.

    The digest covers the teacher's weights and the records, so that neither can change unnoticed. The file is private:
    it tells nearly as much as the records.
    """
    path = folder / f"targets-{_digest(teacher, inputs, inside)}.safetensors"
    if path.exists():
        return _read(path)
    for old in folder.glob("targets-*.safetensors"):
        old.unlink()
    made = targets_of(teacher, inputs, inside=inside)
    if isinstance(made, Features):
        write_atomic(path, save(dict(_named(made))), mode=PRIVATE_MODE)
    return made


def _shown(found: Features, inside: bool) -> Features:
    return found if inside else Features(found.logits)


def _size(found: Features) -> int:
    return sum(tensor.numel() * 4 for _, tensor in _named(found))


def _named(found: Features) -> Iterator[tuple[str, Tensor]]:
    yield "logits", found.logits
    for kind, tensors in (("hidden", found.hidden_states), ("attention", found.attentions)):
        for place, tensor in enumerate(tensors):
            yield f"{kind}.{place:03d}", tensor


def _read(path: Path) -> Features:
    try:
        tensors = load(read_bytes(path, what="teacher's targets"))
        by_kind = {kind: tuple(tensors[name] for name in sorted(tensors) if name.startswith(kind)) for kind in ("hidden", "attention")}
        return Features(tensors["logits"], by_kind["hidden"], by_kind["attention"])
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(f"the teacher's targets in {path} are damaged; remove the file, and they are made again") from error


def _digest(teacher: nn.Module, inputs: NDArray[Any], inside: bool) -> str:
    digest = hashlib.sha256(f"{inputs.dtype} {inputs.shape} {inside}".encode())
    digest.update(np.ascontiguousarray(inputs).tobytes())
    for name, tensor in sorted(teacher.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
