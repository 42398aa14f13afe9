"""One file for every device: what ``portable`` signs for a student of each family, and whether it is slower than float anywhere.

    [FEDSTILL_BENCH_DATA=DIR] python -m benchmarks.edge_portable [--subjects NAME …] [--seeds 3]

Students have learnt nothing: neither seconds nor the choice of operators hang on what a student knows. ``least`` and ``most`` are how
many times as fast as float the file is where it gains least and where it gains most among the devices that ``portable`` stands for, by
their models; ``here`` the same as measured on this machine. Baselines are the file that the slowest device's model alone would choose, as
it did before. ``int8``: operators of the file that compute in INT8, ``kb`` its bytes beside the float file's.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.edge_families import BUILTIN, FAMILIES, REPEATS, Family
from benchmarks.harness import Claim, claim, parser, report
from fedstill.compressing.quantising import calibrated
from fedstill.plan import builtin_federation
from shared.compress.candidates import candidates
from shared.compress.cost import timing_on
from shared.compress.export import export_float
from shared.compress.latency import onnx_latencies
from shared.compress.operators import count_operators
from shared.distill.teacher import own_normalisation
from shared.models import build

DEVICE, SLOWEST = "portable", "cortex-a53"


def _simulated() -> Family:
    return replace(FAMILIES["digits_convolutional"](), student=builtin_federation("digits").student)


SUBJECTS: Mapping[str, Callable[[], Family]] = {"digits_simulated": _simulated, **FAMILIES}
"""The families of ``edge_families``, and before them the small student of ``fedstill simulate --data digits``."""


@dataclass(frozen=True)
class File:
    """A file beside float: ``speeds`` times as fast, by device and its model, and ``here`` as measured; ``int8`` operators, ``kb``."""

    speeds: Mapping[str, float]
    here: float
    int8: int
    kb: float


@dataclass(frozen=True)
class Found:
    """What all devices' models choose for a student, and what the slowest device's alone does; ``float_kb`` is the float file's."""

    everywhere: File
    alone: File
    float_kb: float


def measure(family: Family, *, seed: int) -> Found:
    """One student of a family."""
    records = family.split(seed)
    student = build(family.student, family.task, own_normalisation(family.task, records.train), seed=seed)
    content = export_float(student, family.task)
    ranges = calibrated(content, records.train, family.task)
    timing = timing_on(DEVICE)
    chosen = {
        name: next(iter(candidates(content, ranges, DEVICE, judge).values()))
        for name, judge in (("everywhere", timing), ("alone", timing_on(SLOWEST)))
    }
    seconds = onnx_latencies({"float": content, **chosen}, records.test.inputs, repeats=REPEATS)
    files = {
        name: File(
            speeds={device: 1 / ratio for device, ratio in timing(made).ratios(timing(content)).items()},
            here=seconds["float"] / seconds[name],
            int8=sum(count_operators(made).int8.values()),
            kb=len(made) / 1000,
        )
        for name, made in chosen.items()
    }
    return Found(files["everywhere"], files["alone"], len(content) / 1000)


def claims(name: str, found: Sequence[Found]) -> list[Claim]:
    """A family's figures over its seeds."""

    def beside(figure: str, unit: str, read: Callable[[File], float], goal: float | None = None) -> Claim:
        before = statistics.median(read(one.alone) for one in found)
        return claim(f"{name}.{figure}", [read(one.everywhere) for one in found], unit, baseline=before, goal=goal)

    return [
        beside("least", "× float", lambda file: min(file.speeds.values()), 1.0),
        beside("most", "× float", lambda file: max(file.speeds.values())),
        beside("here", "× float", lambda file: file.here, 1.0),
        beside("int8", "operators", lambda file: file.int8),
        claim(f"{name}.kb", [one.everywhere.kb for one in found], "KB", baseline=found[0].float_kb),
    ]


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument(
        "--subjects",
        nargs="+",
        choices=list(SUBJECTS),
        default=["digits_simulated", *BUILTIN],
        help="which students (default: built-in data)",
    )
    given = options.parse_args()
    found: list[Claim] = []
    for name in given.subjects:
        family = SUBJECTS[name]()
        runs = []
        for seed in range(given.seeds):
            runs.append(measure(family, seed=seed))
            print(f"{name}, seed {seed}: {runs[-1]}", file=sys.stderr, flush=True)
        found += claims(name, runs)
    report("edge_portable", found, given)


if __name__ == "__main__":
    main()
