"""Real-time risk control: a bank's credit student behind the edge's service, and its teacher behind the same service.

    FEDSTILL_BENCH_DATA=… python -m benchmarks.risk [--seeds 3] [--seconds 15] [--rates 100 500 1000] [--width 256 --depth 6]

The teacher is a tabular transformer, of half a million numbers unless ``--width`` and ``--depth`` say otherwise, served as its float
graph; the student, taught by it, as the file that the gate of fedstill signs for this machine's kind (``benchmarks/edge_families.py``).
Both answer requests of one client of the test part each (``benchmarks/edge_service.py``: open loop, Poisson, deadline 1 s), in turns;
seeds are other arrivals. Of a service that is asked more than it can compute, ``p50`` and ``p99`` are those of the answered requests
alone: ``rejected`` says how many were not. ``RATE.faster`` is the teacher's ``p50`` over the student's, ``model.faster`` the same of the
models by themselves. ``lost`` is what the student's file has less than the teacher, in points of accuracy and of AUC.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.edge_families import FAMILIES, GATED, TAUGHT, Family, here, signed
from benchmarks.edge_service import GOALS_MS, RATES, claims, played, put_artifact, request_of
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.subjects import accuracy, area_under_curve
from client.edge.server import SWITCH_S
from shared.compress import runtime
from shared.compress.export import export_float
from shared.compress.latency import onnx_latencies
from shared.data.records import Records, Split
from shared.data.split import hold_out
from shared.distill.targets import targets_of
from shared.distill.teacher import fit_teacher, own_normalisation
from shared.distill.trainer import distil
from shared.models import build, count_parameters
from shared.settings import NetworkSettings
from shared.task import TabularTask

TEACHER, TEACHER_EPOCHS = NetworkSettings(width=128, depth=4, heads=8), 3
SEED, SECONDS, LOST, FASTER = 20, 15.0, 0.5, 10.0
FLOAT = "float"

Figures = dict[tuple[int, str], list[float]]


@dataclass(frozen=True)
class Load:
    """Requests a second, how long each rate is held, and how often."""

    rates: tuple[int, ...]
    seconds: float
    seeds: int


def bank(teacher: NetworkSettings = TEACHER) -> Family:
    """The credit family with a teacher that is large for a table."""
    return replace(FAMILIES["credit_transformer"](), teacher=teacher, teacher_epochs=TEACHER_EPOCHS)


def files_of(family: Family) -> tuple[dict[str, bytes], dict[str, int], Records]:
    """The teacher's float graph and the student's signed file, their parameters, and the test part."""
    whole = family.split(SEED)
    apart = hold_out(whole.train, GATED, seed=SEED, site="gate")
    fit = family.training.model_copy(update={"epochs": family.teacher_epochs, "learning_rate": family.teacher_rate})
    teacher = fit_teacher(apart.train, family.task, family.teacher, fit, seed=SEED)
    student = build(family.student, family.task, own_normalisation(family.task, apart.train), seed=SEED)
    distil(student, targets_of(teacher, apart.train.inputs, inside=False), apart.train, family.training, TAUGHT, seed=SEED)
    made = signed(export_float(student, family.task), family, Split(apart.train, whole.test), apart.test)
    files = {"teacher": export_float(teacher, family.task), "student": made}
    return files, {"teacher": count_parameters(teacher), "student": count_parameters(student)}, whole.test


def quality(files: Mapping[str, bytes], test: Records) -> list[Claim]:
    """Accuracy and AUC of both, what the student has less, and both models' time of a record by themselves."""
    found: list[Claim] = []
    logits = {name: runtime.logits(runtime.session(content), test.inputs) for name, content in files.items()}
    for name, metric in (("accuracy", accuracy), ("AUC", area_under_curve)):
        values = {who: metric(one, test.labels) for who, one in logits.items()}
        found.extend(claim(f"{who}.{name}", [value], name) for who, value in values.items())
        found.append(claim(f"lost.{name}", [100 * (values["teacher"] - values["student"])], "points", goal=LOST))
    least = {name: 1000 * seconds for name, seconds in onnx_latencies(files, test.inputs).items()}
    found.extend(claim(f"{name}.model", [value], "ms") for name, value in least.items())
    return [*found, claim("model.faster", [least["teacher"] / least["student"]], "×", goal=FASTER)]


def compared(files: Mapping[str, bytes], sizes: Mapping[str, int], task: TabularTask, test: Records, load: Load) -> list[Claim]:
    """Both behind the service, in turns."""
    key, requests = Ed25519PrivateKey.generate(), [request_of(task, row).SerializeToString() for row in test.inputs[:1000]]
    figures: dict[str, Figures] = {name: {} for name in files}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            put_artifact(Path(folder) / name, content, task, FLOAT if name == "teacher" else here(), sizes[name], key)
        for seed in range(load.seeds):
            for rate in load.rates:
                for name in files:
                    for figure, value in played(Path(folder) / name, key, requests, rate, load.seconds, seed).items():
                        figures[name].setdefault((rate, figure), []).append(value)
                print(
                    f"seed {seed}, {rate}/s: " + ", ".join(_line(name, figures[name], rate) for name in files), file=sys.stderr, flush=True
                )
    faster = [
        claim(f"{rate}.faster", list(np.array(figures["teacher"][rate, "p50"]) / figures["student"][rate, "p50"]), "×", goal=FASTER)
        for rate in load.rates
    ]
    return [*claims(figures["student"], "student.", GOALS_MS), *claims(figures["teacher"], "teacher."), *faster]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--seconds", type=float, default=SECONDS, help="how long each rate is held (default %(default)s)")
    options.add_argument("--rates", type=int, nargs="+", default=RATES, help="requests a second (default 100 500 1000)")
    options.add_argument("--width", type=int, default=TEACHER.width, help="of the teacher (default %(default)s)")
    options.add_argument("--depth", type=int, default=TEACHER.depth, help="of the teacher (default %(default)s)")
    chosen = options.parse_args(arguments)
    sys.setswitchinterval(SWITCH_S)
    torch.set_num_threads(1)
    family = bank(TEACHER.model_copy(update={"width": chosen.width, "depth": chosen.depth}))
    assert isinstance(family.task, TabularTask)
    files, sizes, test = files_of(family)
    found = quality(files, test)
    found.extend(claim(f"{name}.parameters", [float(count)], "numbers") for name, count in sizes.items())
    found.extend(compared(files, sizes, family.task, test, Load(tuple(chosen.rates), chosen.seconds, chosen.seeds)))
    report("risk", found, chosen)


def _line(name: str, figures: Figures, rate: int) -> str:
    p50, p99, rejected = (figures[rate, figure][-1] for figure in ("p50", "p99", "rejected"))
    return f"{name} p50 {p50:.2f} ms, p99 {p99:.2f} ms, {100 * rejected:.1f} % not answered"


if __name__ == "__main__":
    main()
