"""Several processes that learn one student: each computes its part of every batch, and all take the same step.

The gradients of a batch's parts are added up, weighted by their records: data parallelism with synchronous steps (Goyal et al. 2017,
section 2.3), over the one flat vector of :class:`shared.distill.adamw.FlatAdamW`. Torch's own process groups, not accelerate's: its
state is one for the whole process and its meeting place a port, while this group ends with its fit, and meets in a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from shared.errors import RunError

WAIT_S = 300.0
"""Seconds that a process waits for the others at most, at the start and in each step."""
LOOK_S = 0.1
"""Seconds between two looks who has come."""


@dataclass(frozen=True)
class Share:
    """Which part of each batch is this process's: ``rank`` in 0..count - 1 of ``count`` processes, whose sums ``group`` makes."""

    rank: int = 0
    count: int = 1
    group: Any = None

    def part(self, rows: Tensor) -> Tensor:
        """Its rows of a batch int64 ``(batch,)``; none, perhaps, where there are fewer records than processes."""
        return rows if self.count == 1 else rows.tensor_split(self.count)[self.rank]

    def add_up(self, tensor: Tensor) -> None:
        """Turns ``tensor`` into the sum over all processes, in place. Raises :class:`RunError` where one of them is gone."""
        if self.count == 1:
            return
        try:
            self.group.allreduce([tensor]).wait()
        except RuntimeError as error:
            raise RunError(f"process {self.rank} of {self.count} lost the others in the middle of a fit; start it again") from error

    def total(self, value: float, device: torch.device) -> float:
        """The sum of a figure over all processes, which meet on ``device``. Raises as :meth:`add_up`."""
        if self.count == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64, device=device)
        self.add_up(summed)
        return float(summed)


ALONE = Share()


def nobody_watched() -> None:
    """Whoever does not come is waited for to the end."""


@contextmanager
def joined_share(
    rank: int,
    count: int,
    meeting: Path,
    device: torch.device,
    *,
    wait_s: float | None = None,
    watch: Callable[[], None] = nobody_watched,
) -> Iterator[Share]:
    """The group of ``count`` processes that meet in the file ``meeting``, which none of them has used before, for as long as it lasts.

    Tensors are added up by NCCL on CUDA GPUs, each process on its own, else by gloo, over this machine's loopback alone. Raises
    :class:`RunError` where the others do not come within ``wait_s`` seconds (:data:`WAIT_S`), and whatever ``watch`` raises, which is
    called every :data:`LOOK_S` seconds while somebody is missing.
    """
    wait_s = WAIT_S if wait_s is None else wait_s
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        # A group of its own, not torch's default one: that is one for a process, and a meeting that failed would spoil the next.
        store = dist.FileStore(str(meeting.absolute()), count)  # type: ignore[attr-defined]
        store.set_timeout(timedelta(seconds=wait_s))
        _meet(store, rank, count, time.monotonic() + wait_s, watch)
        kind = getattr(dist, "ProcessGroupNCCL" if device.type == "cuda" else "ProcessGroupGloo")
        group = kind(store, rank, count, timeout=timedelta(seconds=wait_s))
    except (RuntimeError, TimeoutError) as error:
        raise RunError(f"process {rank} of {count} did not meet the others within {wait_s:.0f} s; start the fit again") from error
    yield Share(rank, count, group)


def _meet(store: Any, rank: int, count: int, until: float, watch: Callable[[], None]) -> None:
    # The group's own wait cannot be left before its time, so that each says first that it is there.
    store.set(f"here-{rank}", "")
    while not store.check([f"here-{other}" for other in range(count)]):
        watch()
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(LOOK_S)
