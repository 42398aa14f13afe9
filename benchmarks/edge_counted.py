"""What the cost model predicts for ARM cores, beside the instructions that onnxruntime's aarch64 package executes on an emulated one.

    FEDSTILL_ARM_PYTHON=COMMAND FEDSTILL_ARM_COUNTER=libinsn.so python -m benchmarks.edge_counted [--cpus cortex-a72 …]

The graphs are those of ``benchmarks/edge_predictor.py``: every family, several sizes, float and INT8, random weights. Counted is one
call for one record, by the runtime's own kernels for that core. Instructions are no seconds: they know neither caches nor how many of
them a core completes at once. Only the order is compared: ``rank.*`` is Spearman's correlation, ``faster_int8`` how often the model
says as the counts do whether INT8 takes less than float.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from benchmarks.arm import Asked, counted, machine, missing
from benchmarks.edge_predictor import GOAL, Point, graphs, grouped, rank, record_of, right_about_int8
from benchmarks.harness import RESULTS, Claim, claim, parser, report
from shared.compress.cost import predict
from shared.compress.devices import DEVICES, find_profile
from shared.files import write_atomic

CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1")
"""Profiles whose core can be emulated under the same name."""


def points(cpu: str, *, most: int | None = None) -> list[Point]:
    """Every graph on one core; ``measured`` is instructions here. ``most``: graphs at most, all by default."""
    profile = find_profile(cpu)
    subjects = list(graphs(profile))[:most]
    executed = counted([Asked(record_of(each.task), model=each.content) for each in subjects], cpu)
    return [Point(each, predict(each.content, profile).seconds, count) for each, count in zip(subjects, executed, strict=True)]


def claims(cpu: str, found: Sequence[Point]) -> Iterator[Claim]:
    """Correlations of all graphs, of each precision and of each family."""
    yield claim(f"{cpu}.graphs", [float(len(found))], "graphs")
    for name, group in grouped(found).items():
        yield claim(f"{cpu}.rank.{name}", [rank(group)], "Spearman", goal=GOAL)
    yield claim(f"{cpu}.faster_int8", [right_about_int8(found)], "share")


def main(arguments: Sequence[str] | None = None) -> None:
    """Counts and reports; ends with code 21 where nothing can be counted."""
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--cpus", nargs="+", choices=[name for name in CORES if name in DEVICES], default=["cortex-a72", "cortex-a76"])
    chosen = options.parse_args(arguments)
    if reason := missing(counting=True):
        print(f"SKIPPED: {reason}", file=sys.stderr)
        raise SystemExit(21)
    entries: list[Claim] = []
    lines: list[str] = []
    for cpu in chosen.cpus:
        found = points(cpu)
        entries += claims(cpu, found)
        lines += ["", f"{cpu}: {machine(cpu)}", "", "| family | graph | | predicted ms | million instructions |"]
        lines += ["|" + " --- |" * 5, *(row(point) for point in found)]
    report("edge_counted", entries, chosen)
    if not chosen.no_keep:
        path = RESULTS / "edge_counted.md"
        write_atomic(path, (path.read_text() + "\n".join(lines) + "\n").encode())


def row(point: Point) -> str:
    """One line of the page's table."""
    subject = point.subject
    return f"| {subject.family} | {subject.name} | {subject.precision} | {point.predicted * 1e3:.3f} | {point.measured / 1e6:.3f} |"


if __name__ == "__main__":
    main()
