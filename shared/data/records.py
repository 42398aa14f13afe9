"""Records of one site in memory: raw inputs as the exported graph takes them, and labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1
"""The label of a record that has none: the teacher's answer is all that is learnt from it, and it is never held out."""


@dataclass(frozen=True)
class Records:
    """``inputs``: float32 ``(n, columns)``, uint8 ``(n, H, W, C)`` or int32 ``(n, tokens)``; ``labels``: int64 ``(n,)``, an index into
    ``task.labels`` or :data:`UNLABELLED`; ``texts``: of text tasks the strings ``(n,)`` that the tokens were made of, for a
    teacher with a tokeniser of its own.
    """

    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    texts: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.integer]) -> Records:
        """The records at ``indices``, in that order, copied."""
        texts = None if self.texts is None else self.texts[indices]
        return Records(np.ascontiguousarray(self.inputs[indices]), self.labels[indices], texts)


def digest_of(records: Records) -> str:
    """SHA-256 (hex) over inputs, labels and texts, in their order."""
    digest = hashlib.sha256()
    for array in (records.inputs, records.labels, *(() if records.texts is None else (records.texts,))):
        digest.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def labelled(records: Records) -> Records:
    """Those of the records that have a label."""
    return records.take(np.flatnonzero(records.labels != UNLABELLED))


@dataclass(frozen=True)
class Split:
    """Records to learn from and records held out."""

    train: Records
    test: Records


def joined(parts: list[Records]) -> Records:
    """The records of all ``parts`` (at least one), in order."""
    texts = [part.texts for part in parts if part.texts is not None]
    return Records(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(texts) if len(texts) == len(parts) else None,
    )
