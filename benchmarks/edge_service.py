"""How fast the edge's service answers, and what it refuses, at steady rates of requests of one record each.

    python -m benchmarks.edge_service [--seeds 3] [--seconds 20] [--rates 100 500 1000]

The artifact is the ``heart`` federation's student (13 columns, INT8, untrained: weights do not change what a run costs) behind the real
``fedstill artifact serve`` in a process of its own, asked over loopback by this one. The loop is open: requests come at moments drawn
ahead (Poisson, by the seed) whether earlier ones are answered or not, and each latency counts from its moment, not from when this
process got round to sending it, so a slow server cannot slow its own load. ``RATE.p50`` and ``RATE.p99`` are over answered requests,
``RATE.rejected`` the share that was refused or ran out of its deadline (1 s), ``RATE.sent_late`` how late this process was at
its 99th percentile: that much of p99 is the generator's own. ``RATE.server_p50`` and ``.server_p99``, upper bounds from the
histogram of the service's own metrics, leave the generator out. ``RATE.server_cpu`` is the server's processor time by request, which
what else runs on the machine changes least. ``RATE.rss`` is the server's memory.

Both processes share the machine's processors with whatever else runs there; the goal is meant for an idle machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from benchmarks.harness import Claim, claim, parser, report
from client.edge.server import SWITCH_S
from fedstill.plan import builtin_federation
from shared.compress.artifact import write_artifact
from shared.compress.calibrate import ranges_of
from shared.compress.export import export_float
from shared.compress.manifest import CandidateResult, GateResult, Manifest, Provenance
from shared.compress.quantise import quantise
from shared.data.heart import read_heart
from shared.distill.teacher import own_normalisation
from shared.identity import public_bytes
from shared.models import build, count_parameters
from shared.rpc import edge_pb2 as pb
from shared.rpc.services import EDGE, Stub
from shared.task import TabularTask

RATES, SECONDS, WARM_UP = (100, 500, 1000), 20.0, 200
GOALS_MS = {500: 5.0}
"""Goal of p99 by rate."""
DEADLINE_S = 1.0
GRID = "u8s8-7bit"


@dataclass
class Load:
    """What one rate gave: seconds of each answered request from its moment, seconds that each was sent late, ends by status."""

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--seconds", type=float, default=SECONDS, help="how long each rate is held (default %(default)s)")
    options.add_argument("--rates", type=int, nargs="+", default=RATES, help="requests a second (default 100 500 1000)")
    arguments = options.parse_args()
    sys.setswitchinterval(SWITCH_S)  # as in the service: gRPC's thread must not wait for this one's turn to end
    figures: dict[tuple[int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        key = Ed25519PrivateKey.generate()
        artifact, requests = heart(Path(folder) / "artifact", key)
        for seed in range(arguments.seeds):
            for rate in arguments.rates:
                for name, value in played(artifact, key, requests, rate, arguments.seconds, seed).items():
                    figures.setdefault((rate, name), []).append(value)
    report("edge_service", claims(figures, p99_ms=GOALS_MS), arguments)


def claims(
    figures: Mapping[tuple[int, str], Sequence[float]], prefix: str = "", p99_ms: Mapping[int, float] = MappingProxyType({})
) -> list[Claim]:
    """Figures by rate and name as claims, whose names begin with ``prefix``; ``p99_ms`` are goals by rate."""
    units = {"rejected": "share", "rss": "MB"}
    goals = {(rate, "p99"): goal for rate, goal in p99_ms.items()}
    return [
        claim(f"{prefix}{rate}.{name}", values, units.get(name, "ms"), goal=goals.get((rate, name)))
        for (rate, name), values in figures.items()
    ]


def played(artifact: Path, key: Ed25519PrivateKey, requests: list[bytes], rate: int, seconds: float, seed: int) -> dict[str, float]:
    """The figures of one rate at a fresh service."""
    with served(artifact, public_bytes(key).hex()) as (process, ready):
        before = processor_s(process.pid)
        load = asyncio.run(put(ready["listening"], requests, rate, seconds, seed))
        spent = processor_s(process.pid) - before
        found = summary(load) | server_side(ready["metrics"])
        return {**found, "server_cpu": 1000 * spent / (WARM_UP + load.ends.total()), "rss": resident_mb(process.pid)}


def heart(folder: Path, key: Ed25519PrivateKey) -> tuple[Path, list[bytes]]:
    """The signed artifact, and a request of each of Cleveland's records as its bytes."""
    config, records = builtin_federation("heart"), read_heart()["cleveland"]
    assert isinstance(config.task, TabularTask)
    model = build(config.student, config.task, own_normalisation(config.task, records), seed=config.seed)
    rows = records.inputs
    graph = export_float(model, config.task)
    put_artifact(folder, quantise(graph, ranges_of(graph, rows), GRID), config.task, GRID, count_parameters(model), key)
    return folder, [request_of(config.task, row).SerializeToString() for row in rows]


def put_artifact(folder: Path, made: bytes, task: TabularTask, grid: str, parameters: int, key: Ed25519PrivateKey) -> None:
    """Signs a file as if it had passed a gate; what a service does with it does not depend on that."""
    gate = GateResult(
        records=1, float_right=1, max_drop=1.0, candidates=(CandidateResult(name=grid, right=1, agree=1, size=len(made)),), winner=grid
    )
    came = Provenance(federation="bench", run="bench", rounds=0, void_rounds=0, roster_digest="0" * 64, student_parameters=parameters)
    write_artifact(folder, made, Manifest(version=1, task=task, device="portable", grid=grid, gate=gate, provenance=came), key)


def request_of(task: TabularTask, row: NDArray[np.float32]) -> pb.PredictRequest:
    """One record as a client writes it."""
    cells = []
    for column, cell in zip(task.columns, row.tolist(), strict=True):
        if np.isnan(cell):
            cells.append(pb.Value())
        else:
            cells.append(pb.Value(text=column.categories[int(cell)]) if column.kind == "categorical" else pb.Value(number=cell))
    return pb.PredictRequest(table=pb.Table(rows=[pb.Row(values=cells)]))


@contextmanager
def served(artifact: Path, key: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The real service in a process of its own."""
    options = ["--key", key, "--listen", "127.0.0.1:0", "--metrics-port", "0", "--json"]
    command = [sys.executable, "-m", "client.edge.command", "serve", str(artifact), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


async def put(address: str, requests: list[bytes], rate: int, seconds: float, seed: int) -> Load:
    """Asks at ``rate`` a second for ``seconds``, after a warm-up that does not count."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))
    moments = np.cumsum(gaps)
    load = Load()
    async with grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_unary(f"/{EDGE.full_name}/Predict")
        for number in range(WARM_UP):
            await ask(requests[number % len(requests)])
        begin = time.perf_counter() + 0.1

        async def one(moment: float, request: bytes) -> None:
            load.late.append(time.perf_counter() - moment)
            try:
                await ask(request, timeout=DEADLINE_S)
            except grpc.aio.AioRpcError as error:
                load.ends[error.code().name] += 1
                return
            load.ends["OK"] += 1
            load.latencies.append(time.perf_counter() - moment)

        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(begin + moments):
                if (wait := moment - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(one(moment, requests[number % len(requests)]))
        await Stub(channel, EDGE).call("ModelInfo")(pb.ModelInfoRequest())
    return load


def summary(load: Load) -> dict[str, float]:
    """The figures of one rate, in milliseconds, and the share that got no answer."""
    latencies = 1000 * np.array(load.latencies)
    return {
        "p50": float(np.percentile(latencies, 50)),
        "p99": float(np.percentile(latencies, 99)),
        "rejected": 1 - load.ends["OK"] / load.ends.total(),
        "sent_late": 1000 * float(np.percentile(load.late, 99)),
    }


def server_side(metrics: str) -> dict[str, float]:
    """The bounds of the service's own histogram that hold half and 99 % of its answers, in milliseconds."""
    with urllib.request.urlopen(metrics) as answer:
        text = answer.read().decode()
    buckets = [(float(bound), int(count)) for bound, count in re.findall(r'latency_seconds_bucket\{le="([^"]+)"\} (\d+)', text)]
    total = buckets[-1][1]
    return {f"server_p{share}": 1000 * next(bound for bound, count in buckets if 100 * count >= share * total) for share in (50, 99)}


def processor_s(pid: int) -> float:
    """Processor seconds that a process has used, of user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Memory that a process holds, in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1e6


if __name__ == "__main__":
    main()
