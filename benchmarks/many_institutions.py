"""A coordinator of many institutions: its memory and time against how many there are, each a process of its own without torch.

    python -m benchmarks.many_institutions [--institutions 5 10 25 50] [--rounds 10] [--parameters 1000000] [--folder DIR]

Everything of the protocol is real: signatures, policies, masks, sealed shares, ledgers and audits on disk, the store, the checkpoint
of each round. Updates are made up (``benchmarks/made_up.py``), and messages go through pipes: what Flower takes is in
``deployed_overhead``. Each number of institutions has a coordinator's process of its own. Writes ``docs/results/many_institutions.png``.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import harness
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.made_up import MadeUpToolbox, made_up_federation, without_torch
from benchmarks.piped import PipeExchange
from benchmarks.stopwatch import highest
from server.coordinator import Coordinator
from server.events import Event, RoundClosed
from server.site import CoordinatorSite
from shared.files import write_atomic

RUN = "many"
LONGEST_S = 3600.0


class Measured(NamedTuple):
    """One number of institutions. Of the coordinator: ``memory`` bytes at most and when it began, ``cpu`` and ``seconds`` of each
    training round, ``stages`` of each; of the institutions: ``others`` bytes of the largest at most, ``worked`` CPU seconds of all in
    the whole run, ``largest_up`` bytes that one sent in a round."""

    institutions: int
    memory: float
    before: float
    cpu: list[float]
    seconds: list[float]
    stages: dict[str, list[float]]
    others: float
    worked: float
    largest_up: float
    load: float


def play(folder: Path, institutions: int, rounds: int, parameters: int) -> Measured:
    """One run, coordinated by this process. Raises ``RuntimeError`` if an institution missed a round."""
    workspace = made_up_federation(folder, institutions, rounds)
    exchange = PipeExchange(workspace.institutions)
    marks: list[tuple[float, float, str]] = [(time.monotonic(), time.process_time(), "")]

    def observe(event: Event) -> None:
        if isinstance(event, RoundClosed):
            marks.append((time.monotonic(), time.process_time(), event.phase))

    before = highest()
    result = Coordinator(CoordinatorSite(workspace.coordinator, run=RUN), exchange, observe, toolbox=MadeUpToolbox(parameters)).run(RUN)
    memory, taken = highest(), exchange.end()
    without_torch()
    if any(len(record.survivors) != institutions or record.status != "closed" for record in result.rounds):
        raise RuntimeError("an institution missed a round, or one was void: nothing is measured")
    training = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(marks) if b[2] == "train"]
    records = [record for record in result.rounds if record.phase == "train"]
    return Measured(
        institutions=institutions,
        memory=memory,
        before=before,
        cpu=[cpu for _, cpu in training],
        seconds=[wall for wall, _ in training],
        stages={stage: [record.seconds[stage] for record in records] for stage in records[0].seconds},
        others=max(peak for peak, _ in taken),
        worked=sum(cpu for _, cpu in taken),
        largest_up=max(max(record.bytes_up.values()) for record in records),
        load=os.getloadavg()[1],
    )


def measure(institutions: int, rounds: int, parameters: int, folder: Path | None) -> Measured:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        words = ["--child", home, str(institutions), str(rounds), str(parameters)]
        program = [sys.executable, "-m", "benchmarks.many_institutions", *words]
        done = subprocess.run(program, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=LONGEST_S)
    return Measured(*json.loads(done.stdout))


def claims(found: Measured, rounds: int) -> list[Claim]:
    """Medians over training rounds."""
    head = f"{found.institutions}"
    return [
        claim(f"{head}.coordinator.memory", [found.memory / 1e6], "MB"),
        claim(f"{head}.coordinator.memory_of_the_run", [(found.memory - found.before) / 1e6], "MB"),
        claim(f"{head}.coordinator.cpu", found.cpu, "s a round"),
        claim(f"{head}.round", found.seconds, "s"),
        *(claim(f"{head}.stage.{stage}", values, "s a round") for stage, values in sorted(found.stages.items())),
        claim(f"{head}.institution.memory", [found.others / 1e6], "MB"),
        claim(f"{head}.institution.cpu", [found.worked / found.institutions / rounds], "s a training round"),
        claim(f"{head}.institution.bytes_up", [found.largest_up / 1e6], "MB a round"),
        claim(f"{head}.load", [found.load], "processes"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--child"]:
        json.dump(play(Path(words[1]), *map(int, words[2:])), sys.stdout)
        return
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--institutions", type=int, nargs="+", default=[5, 10, 25, 50])
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--parameters", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path, help="where the federations' folders are made and removed; on a disk, its syncs count")
    options.add_argument("--raw", type=Path, help="also write what was measured there, number by number: a long run may be broken off")
    chosen = options.parse_args(words)
    found = []
    for count in chosen.institutions:
        found.append(measure(count, chosen.rounds, chosen.parameters, chosen.folder))
        if chosen.raw is not None:
            write_atomic(chosen.raw, json.dumps(found).encode())
    if not chosen.no_keep:
        from benchmarks.many_institutions_plots import draw

        draw(found, harness.RESULTS)
    report("many_institutions", [one for measured in found for one in claims(measured, chosen.rounds)], chosen)


if __name__ == "__main__":
    main()
