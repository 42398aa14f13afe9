"""Answers on proxy records: what travels in place of weights, and how it lies in a round's vector and blob. No torch here.

An institution answers ``N`` proxy records with logits over the task's ``K`` labels: a table ``(N, K)``. Softmax does not see
a constant added to a record's logits, so each record's are centred; and one model may be a thousand times surer than another,
so they are bounded (:func:`bounded`). The consensus is the records' mean table (FedMD, Li & Wang 2019, algorithm 1; FedDF, Lin
et al. 2020, eq. 1, average logits alike).

What is masked, clipped and summed is the table over ``√(N K)`` as one vector (:func:`flattened`). Its norm is the root mean
square of its logits, whatever the number of records: a ``clip_norm`` of 3 means that an institution moves the consensus by at
most 3 logits a cell in the mean square, and its own ``longest_clip_norm`` bounds the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.attached import WORD, blob_of, words_of
from shared.errors import ProtocolError
from shared.task import ImageTask, TabularTask, Task, TextTask


def bounded(logits: NDArray[np.floating[Any]], bound: float) -> NDArray[np.float32]:
    """Each record's logits ``(records, labels)`` less their mean, times what brings the largest magnitude to at most ``bound``.

    A scale keeps the order of labels and the mean of zero, which cutting would not.
    """
    centred = logits.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    largest = np.abs(centred).max(axis=1, keepdims=True)
    centred *= bound / np.maximum(largest, bound)
    result: NDArray[np.float32] = centred.astype(np.float32)
    return result


def flattened(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """The table ``(records, labels)`` as a vector ``float32 (d,)`` whose norm is the root mean square of its logits."""
    vector: NDArray[np.float32] = (table.reshape(-1).astype(np.float64) / math.sqrt(table.size)).astype(np.float32)
    return vector


def table_of(vector: NDArray[np.float32], labels: int) -> NDArray[np.float32]:
    """The table ``(records, labels)`` of a vector that :func:`flattened` made, or of a mean of such."""
    table: NDArray[np.float32] = (vector.astype(np.float64) * math.sqrt(vector.size)).astype(np.float32).reshape(-1, labels)
    return table


def inputs_digest(inputs: NDArray[Any]) -> str:
    """SHA-256 (hex) over the type, the shape and the bytes of proxy records in the task's raw form."""
    return hashlib.sha256(f"{inputs.dtype} {inputs.shape} ".encode() + np.ascontiguousarray(inputs).tobytes()).hexdigest()


def consensus_blob(
    vector: NDArray[np.float32], inputs: NDArray[Any] | None, attached: Mapping[str, NDArray[np.uint64]] = MappingProxyType({})
) -> bytes:
    """The consensus as it travels: behind the proxy records, as uint64 ``inputs``, unless both sides generate them, and what else is
    ``attached``.
    """
    return blob_of(vector, attached if inputs is None else {**attached, "inputs": words_of(np.ascontiguousarray(inputs).tobytes())})


def inputs_of(words: NDArray[Any] | None, task: Task, records: int) -> NDArray[Any]:
    """The proxy records that ``words`` of a blob hold, in the task's raw form. Raises :class:`ProtocolError` for another size."""
    dtype, shape = _raw(task, records)
    size = math.prod(shape) * dtype.itemsize
    if words is None or words.dtype != np.uint64 or words.shape != (-(-size // WORD),):
        raise ProtocolError(
            f"the {records} proxy records that the plan names did not come whole; compare the two configurations' [task], "
            "and ask the coordinator to send them again"
        )
    raw: NDArray[Any] = np.frombuffer(words.tobytes(), dtype, math.prod(shape)).reshape(shape).copy()
    return raw


def _raw(task: Task, records: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    match task:
        case TabularTask():
            return np.dtype(np.float32), (records, len(task.columns))
        case ImageTask():
            return np.dtype(np.uint8), (records, task.size, task.size, task.channels)
        case TextTask():
            return np.dtype(np.int32), (records, task.max_tokens)
