"""Seconds that a deployed round takes besides training: five institutions on loopback, real processes, real TLS, the real Flower.

    python -m benchmarks.deployed_overhead [--works made-up torch] [--institutions 5] [--rounds 10] [--json FILE]

A round's overhead is its seconds, from the end of the round before to its own, less those in which at least one institution was
training: from the line of its audit that says that it agreed to the plan to the one that says that its answer leaves. ``made-up``:
a training round takes two seconds at every institution, whatever else the machine does, and no torch. ``torch``: the heart
federation as ``fedstill simulate`` has it, taught by real teachers, its processes sharing this machine's cores.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.ground import ROOT, Census, finish, make_deployable, service
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.made_up import PARAMETERS_VARIABLE, SECONDS_VARIABLE, made_up_federation
from fedstill.plan import builtin_federation
from fedstill.teachers import fit_institution
from fedstill.workspace import Workspace, prepare
from server.events import RoundClosed
from server.site import CoordinatorSite
from shared.audit.chain import LOG_NAME
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_sites
from shared.processes import free_port

Works = Literal["made-up", "torch"]
GOAL_S = 6.0
TRAINING_S = 2.0
PARAMETERS = 100_000
RUN = "overhead"
LONGEST_S, WAIT_S = 1200.0, 240
Interval = tuple[float, float]


class Round(NamedTuple):
    """A training round: when the one before ended, its seconds from then on, those in which somebody trained, and those of its stages."""

    begun: float
    seconds: float
    training: float
    stages: dict[str, float]

    @property
    def overhead(self) -> float:
        """What is left."""
        return self.seconds - self.training


def covered(intervals: Sequence[Interval]) -> float:
    """How much time at least one of the intervals covers."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def trained(home: Path, run: str) -> dict[int, Interval]:
    """Round → when an institution began to work on it and when its answer was about to leave, seconds since 1970."""
    begun: dict[int, float] = {}
    found: dict[int, Interval] = {}
    for line in (home / "audit" / LOG_NAME).read_bytes().splitlines():
        entry = json.loads(line)
        fields, time = entry["fields"], datetime.fromisoformat(entry["time"]).timestamp()
        if fields.get("run") != run or fields.get("work") != "train":
            continue
        if entry["kind"] == "agreed":
            begun[fields["round"]] = time
        if entry["kind"] == "answered" and fields["stage"] == "train":
            found[fields["round"]] = begun[fields["round"]], time
    return found


def rounds_of(workspace: Workspace) -> list[Round]:
    """The training rounds of a finished run, but for the first, whose student travels whole."""
    store = CoordinatorSite(workspace.coordinator, run=RUN).store
    closed = [(time, event) for _, time, event in store.events(RUN) if isinstance(event, RoundClosed)]
    store.close()
    intervals = [trained(home, RUN) for home in workspace.institutions.values()]
    found = []
    for (before, _), (time, event) in itertools.pairwise(closed):
        if event.phase == "train":
            training = covered([one[event.number] for one in intervals if event.number in one])
            found.append(Round(before, time - before, training, event.seconds))
    return found[1:]


def prepared(works: Works, folder: Path, institutions: int, rounds: int) -> Workspace:
    """The federation's folders."""
    if works == "made-up":
        return made_up_federation(folder, institutions, rounds)
    config = FederationConfig.model_validate({**builtin_federation("heart").model_dump(), "rounds": rounds})
    workspace = prepare(config, folder, dict(sorted(load_sites(config).items())[:institutions]))
    for home in workspace.institutions.values():
        fit_institution(load_config(InstitutionConfig, home / "institution.toml"), home, config)
    return workspace


def play(workspace: Workspace, works: Works) -> Census:
    """Runs the federation to its end, and what its processes took."""
    port, logs = free_port(), workspace.folder / "said"
    make_deployable(workspace, port)
    path = os.pathsep.join(map(str, (ROOT / "benchmarks" / "shim", ROOT) if works == "made-up" else (ROOT,)))
    environment = {"PYTHONPATH": path, SECONDS_VARIABLE: str(TRAINING_S), PARAMETERS_VARIABLE: str(PARAMETERS)}
    with Census() as census, ExitStack() as stack:
        where = ["--port", str(port), "--host", "127.0.0.1", "--wait", str(WAIT_S), "--run", RUN]
        coordinator = stack.enter_context(
            service(census, logs / "coordinator.log", ["fedstill", "coordinator", "run", str(workspace.coordinator), *where], environment)
        )
        for name, home in workspace.institutions.items():
            stack.enter_context(service(census, logs / f"{name}.log", ["fedstill", "client", "run", str(home)], environment))
        finish(coordinator, logs / "coordinator.log", LONGEST_S)
    return census


def claims(works: Works, rounds: Sequence[Round], census: Census) -> list[Claim]:
    """Medians over rounds; the spread is between rounds."""
    return [
        claim(f"{works}.overhead", [one.overhead for one in rounds], "s a round", goal=GOAL_S),
        claim(f"{works}.training", [one.training for one in rounds], "s a round"),
        claim(f"{works}.round", [one.seconds for one in rounds], "s"),
        *(
            claim(f"{works}.stage.{stage}", [one.stages.get(stage, 0.0) for one in rounds], "s a round")
            for stage in sorted({stage for one in rounds for stage in one.stages})
        ),
        *(claim(f"{works}.cpu.{name}", values, "s a round") for name, values in cpu_of(rounds, census).items()),
        *(claim(f"{works}.memory.{name}", [taken.peak / 1e6], "MB") for name, taken in sorted(census.taken.items())),
        claim(f"{works}.load", [os.getloadavg()[1]], "processes"),
    ]


def cpu_of(rounds: Sequence[Round], census: Census) -> dict[str, list[float]]:
    """CPU seconds of each component, and of ``all`` together, in each round: what other work on the machine changes least."""
    found = [census.cpu_between(one.begun, one.begun + one.seconds) for one in rounds]
    names = sorted({name for one in found for name in one})
    return {name: [one.get(name, 0.0) for one in found] for name in names} | {"all": [sum(one.values()) for one in found]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark; its seeds are its rounds."""
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--works", nargs="+", choices=("made-up", "torch"), default=("made-up", "torch"))
    options.add_argument("--institutions", type=int, default=5)
    options.add_argument("--rounds", type=int, default=10)
    chosen = options.parse_args(arguments)
    found = []
    for works in chosen.works:
        with tempfile.TemporaryDirectory() as folder:
            workspace = prepared(works, Path(folder), chosen.institutions, chosen.rounds)
            census = play(workspace, works)
            found += claims(works, rounds_of(workspace), census)
    report("deployed_overhead", found, chosen)


if __name__ == "__main__":
    main()
