"""``fedstill distill --processes``: the other processes of a fit, started, watched and ended by the first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from shared.errors import ConfigError, FedstillError, RunError
from shared.processes import Command, Supervisor, tail

if TYPE_CHECKING:
    import torch

    from fedstill.distilling import DistilPlan
    from shared.distill.share import Share

LOG = "process-{rank}.log"


def device_of_rank(name: str, rank: int, count: int) -> torch.device:
    """The device of process ``rank`` of ``count``: a CUDA GPU for each of them, or the CPU for all.

    Raises :class:`ConfigError` where there are fewer GPUs than processes, or one GPU was named for several.
    """
    from shared.models.device import chosen_device

    device = chosen_device(name)
    if count == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or ":" in name:
        raise ConfigError(f"--processes {count} needs a device for each process, and '{name}' is one; use --device cuda or cpu")
    return chosen_device(f"cuda:{rank}")


@contextmanager
def shared_fit(plan: DistilPlan) -> Iterator[Share]:
    """Starts the other processes of a plan's fit, and takes part as the first; whatever happens, they end with the block.

    On Linux they also end when this process is killed. Raises :class:`RunError` with the last words of a process that failed, at once
    where it fails before the fit begins.
    """
    from shared.distill.share import ALONE, joined_share

    if plan.processes == 1:
        yield ALONE
        return
    meeting = plan.folder / f".meeting-{uuid4().hex}"
    logs = [plan.folder / LOG.format(rank=rank) for rank in range(1, plan.processes)]
    with Supervisor() as others:
        try:
            for rank, log in enumerate(logs, start=1):
                log.unlink(missing_ok=True)
                arguments = (sys.executable, "-m", "fedstill.sharing", str(plan.folder), str(rank), meeting.name)
                others.start(Command(f"process {rank}", arguments, log, {"OMP_NUM_THREADS": str(plan.threads)}))
            device = device_of_rank(plan.device, 0, plan.processes)
            with joined_share(0, plan.processes, meeting, device, watch=lambda: _all_run(others)) as share:
                yield share
        except RunError as error:
            said = next((words for log in logs if (words := tail(log, 1))), "")
            raise RunError(f"{error}; another process said: {said}" if said else str(error)) from error
        finally:
            others.stop()
            meeting.unlink(missing_ok=True)
            for log in logs:
                if log.exists() and not log.stat().st_size:
                    log.unlink()


def _all_run(others: Supervisor) -> None:
    # Called before the fit begins only: none of them ends by itself so early, unless it failed.
    for ended in others.tend():
        raise RunError(f"{ended.name} ended by itself (code {ended.code}) before the fit began; start the fit again")


def main(folder: str, rank: str, meeting: str) -> None:
    """Takes part in the fit of the plan in ``folder`` as process ``rank``, and writes nothing but its errors."""
    import torch
    from rich.console import Console

    from fedstill.distilling import learn, read_plan, taught_by
    from shared.data import load_pool
    from shared.distill.share import joined_share

    plan = read_plan(Path(folder))
    torch.set_num_threads(plan.threads)
    console, records = Console(quiet=True), load_pool(plan.federation).train
    asked, device = taught_by(plan, records, console), device_of_rank(plan.device, int(rank), plan.processes)
    with joined_share(int(rank), plan.processes, plan.folder / meeting, device) as share:
        learn(plan, asked, records, share=share)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FedstillError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
        os._exit(error.exit_code)
