"""The proxy set and the consensus of one round, checked: what the coordinator sent is never believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.answers import bounded, flattened, inputs_digest, inputs_of, table_of
from shared.data.arrays import check_inputs
from shared.data.proxy import generated_proxy
from shared.errors import NotFiniteError, ProtocolError
from shared.task import TabularTask, Task
from shared.work import AnswerWork


@dataclass(frozen=True)
class ProxySet:
    """``inputs``: the proxy records in the task's raw form; ``vector``: the consensus as it travels, float32 ``(records · labels,)``."""

    inputs: NDArray[Any]
    vector: NDArray[np.float32]
    labels: int

    @property
    def table(self) -> NDArray[np.float32]:
        """The consensus as logits ``(records, labels)``."""
        return table_of(self.vector, self.labels)

    def update(self, logits: NDArray[np.float32], bound: float) -> NDArray[np.float32]:
        """How an institution's own answers, logits ``(records, labels)``, bounded, differ from the consensus: float32 ``(d,)``."""
        return flattened(bounded(logits, bound)) - self.vector


def open_proxy(work: AnswerWork, tensors: Mapping[str, NDArray[Any]], task: Task) -> ProxySet:
    """The proxy set of a round from its blob, or generated here.

    Raises :class:`ProtocolError` for a consensus of another length and for other records than the plan names,
    :class:`NotFiniteError` for a consensus with a NaN, and :class:`DataError` and its kinds for records that the task has not.
    """
    size = work.records * len(task.labels)
    vector = tensors.get("vector")
    if vector is None or vector.dtype != np.float32 or vector.shape != (size,):
        shape = "none" if vector is None else f"{vector.dtype} {vector.shape}"
        raise ProtocolError(
            f"a consensus over {work.records} records and {len(task.labels)} labels is float32 ({size},), but {shape} came; "
            "compare the two configurations' [task]"
        )
    if not np.isfinite(vector).all():
        raise NotFiniteError(
            "the consensus that came holds a NaN or an infinity; lower optimizer.learning_rate and go on from an earlier round"
        )
    return ProxySet(_inputs(work, tensors, task), vector, len(task.labels))


def _inputs(work: AnswerWork, tensors: Mapping[str, NDArray[Any]], task: Task) -> NDArray[Any]:
    if work.generated and not isinstance(task, TabularTask):
        raise ProtocolError(f"proxy records of family '{task.family}' cannot be generated; the coordinator must send public ones")
    if work.generated and isinstance(task, TabularTask):
        inputs: NDArray[Any] = generated_proxy(task, work.normalisation, work.records, work.missing, seed=work.seed)
    else:
        inputs = inputs_of(tensors.get("inputs"), task, work.records)
    if inputs_digest(inputs) != work.proxy_sha256:
        how = "generated here" if work.generated else "that came"
        raise ProtocolError(
            f"the proxy records {how} are not those that the plan names by their SHA-256; install the same release on both sides"
        )
    return check_inputs(inputs, task, "the proxy records that the coordinator sent")
