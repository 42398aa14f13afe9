"""A federation whose student is large: seconds by stage, and memory by process, up to a hundred million parameters.

    python -m benchmarks.large_student [--millions 5 25 100] [--institutions 3] [--where process deployed made-up] [--json FILE]

The student is a perceptron over the heart task, really taught by a small teacher, really published as a signed artifact; only its
size is not what the task needs. ``process`` is ``fedstill simulate``'s way, all in one process; ``deployed`` is the commands of an
operator on loopback: TLS, Flower's SuperLink and SuperNodes, a process each. ``made-up`` is deployed, too, with updates that nobody
has learnt and no artifact (``benchmarks/made_up.py``): what the messages alone take.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.ground import ROOT, Census, finish, make_deployable, service
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.made_up import PARAMETERS_VARIABLE, made_up_federation
from fedstill.plan import builtin_federation
from fedstill.teachers import fit_institution
from fedstill.workspace import Workspace, prepare
from server.events import ArtifactWritten, Event, RoundClosed, RunFinished, RunStarted
from server.site import CoordinatorSite
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_sites
from shared.processes import free_port

SHAPES = {5: (560, 4), 25: (1022, 6), 100: (2040, 6)}
"""Millions of parameters → width and depth of a perceptron that has about as many."""
WHERE = ("process", "deployed", "made-up")
RUN = "large"
LONGEST_S = 3600.0
WAIT_S = 240


class Measured(NamedTuple):
    """One run: seconds by part, megabytes by process, megabytes that travelled, parameters."""

    seconds: dict[str, float]
    megabytes: dict[str, float]
    travelled: dict[str, float]


def federation(millions: int, rounds: int) -> FederationConfig:
    """The heart federation with a student of that size, and a few steps of training."""
    width, depth = SHAPES[millions]
    changes = {
        "rounds": rounds,
        "student": {"width": width, "depth": depth, "architecture": "perceptron"},
        "training": {"epochs": 1, "batch_size": 32},
        "teacher_training": {"epochs": 1},
    }
    return FederationConfig.model_validate({**builtin_federation("heart").model_dump(), **changes})


def prepared(folder: Path, millions: int, institutions: int, rounds: int) -> Workspace:
    """The federation's folders, with fitted teachers."""
    config = federation(millions, rounds)
    sites = dict(sorted(load_sites(config).items())[:institutions])
    workspace = prepare(config, folder, sites)
    for home in workspace.institutions.values():
        fit_institution(load_config(InstitutionConfig, home / "institution.toml"), home, config)
    return workspace


def in_process(workspace: Workspace) -> Measured:
    """The whole federation in one process of its own."""
    log = workspace.folder / "process.log"
    homes = [f"{name}={home}" for name, home in workspace.institutions.items()]
    with Census() as census:
        program = ["benchmarks.large_student", "--child", str(workspace.coordinator), *homes]
        with service(census, log, program, {"OMP_NUM_THREADS": str(os.cpu_count())}) as process:
            finish(process, log, LONGEST_S)
    return measured(workspace, census)


def deployed(workspace: Workspace, made_up: int = 0) -> Measured:
    """The federation as services; with ``made_up`` parameters of a student that nobody teaches."""
    port, logs = free_port(), workspace.folder / "said"
    make_deployable(workspace, port)
    folders = (ROOT / "benchmarks" / "shim", ROOT) if made_up else (ROOT,)
    environment = {"PYTHONPATH": os.pathsep.join(map(str, folders)), PARAMETERS_VARIABLE: str(made_up)}
    with Census() as census, ExitStack() as stack:
        where = ["--port", str(port), "--host", "127.0.0.1", "--wait", str(WAIT_S)]
        program = ["fedstill", "coordinator", "run", str(workspace.coordinator), "--run", RUN, *where]
        coordinator = stack.enter_context(service(census, logs / "coordinator.log", program, environment))
        for name, home in workspace.institutions.items():
            stack.enter_context(service(census, logs / f"{name}.log", ["fedstill", "client", "run", str(home)], environment))
        finish(coordinator, logs / "coordinator.log", LONGEST_S)
    return measured(workspace, census)


def measured(workspace: Workspace, census: Census) -> Measured:
    """What the store and the census have of a finished run."""
    store = CoordinatorSite(workspace.coordinator, run=RUN).store
    events = [(time, event) for _, time, event in store.events(RUN)]
    records = [stored.record for stored in store.rounds(RUN, "closed")]
    store.close()
    megabytes = {name: taken.peak / 1e6 for name, taken in census.taken.items()} | {"together": census.together / 1e6}
    travelled = {
        f"{record.number}.{record.phase}.{way}": max(found.values()) / 1e6
        for record in records
        for way, found in (("down", record.bytes_down), ("up", record.bytes_up))
    }
    return Measured(seconds_of(events), megabytes, travelled)


def seconds_of(events: Sequence[tuple[float, Event]]) -> dict[str, float]:
    """Seconds of each round (``2.train``: the run's second, a training round), of publishing, and of all.

    A round begins where the one before ended: what the coordinator does to plan it belongs to it.
    """
    seconds: dict[str, float] = {}
    begun = now = 0.0
    for time, event in events:
        match event:
            case RunStarted():
                begun = now = time
            case RoundClosed():
                seconds[f"{event.number}.{event.phase}"], now = time - now, time
            case ArtifactWritten():
                seconds["publish"], now = time - now, time
            case RunFinished():
                seconds["all"] = time - begun
            case _:
                pass
    return seconds


def claims(millions: int, where: str, found: Measured) -> list[Claim]:
    """One claim each."""
    head = f"{millions}M.{where}"
    return [
        *(claim(f"{head}.{name}", [value], "s") for name, value in found.seconds.items()),
        *(claim(f"{head}.memory.{name}", [value], "MB") for name, value in sorted(found.megabytes.items())),
        *(claim(f"{head}.bytes.{name}", [value], "MB") for name, value in found.travelled.items() if value >= 1),
    ]


def child(coordinator: Path, homes: Sequence[str]) -> None:
    """Runs the federation in this process, which nothing else is measured with."""
    from fedstill.simulation import run_in_process

    run_in_process(coordinator, {name: Path(home) for name, _, home in (one.partition("=") for one in homes)}, RUN)


def main() -> None:
    """Runs the benchmark."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3:])
        return
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--millions", type=int, nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES))
    options.add_argument("--institutions", type=int, default=3)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--where", nargs="+", choices=WHERE, default=WHERE)
    options.add_argument("--keep-folder", type=Path, help="leave the federation's folders there")
    chosen = options.parse_args()
    report(
        "large_student", [one for millions in chosen.millions for where in chosen.where for one in one_run(chosen, millions, where)], chosen
    )


def one_run(chosen: argparse.Namespace, millions: int, where: str) -> list[Claim]:
    """One size at one place."""
    with tempfile.TemporaryDirectory() as folder:
        home = (chosen.keep_folder or Path(folder)) / f"{millions}-{where}"
        if where == "made-up":
            workspace = made_up_federation(home, chosen.institutions, chosen.rounds)
            return claims(millions, where, deployed(workspace, millions * 1_000_000))
        workspace = prepared(home, millions, chosen.institutions, chosen.rounds)
        return claims(millions, where, in_process(workspace) if where == "process" else deployed(workspace))


if __name__ == "__main__":
    main()
