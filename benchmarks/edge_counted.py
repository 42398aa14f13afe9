"""What the cost model predicts for ARM cores, beside what onnxruntime's aarch64 package executes on an emulated one.

    FEDSTILL_ARM_PYTHON=COMMAND FEDSTILL_ARM_COUNTER=arm_counter.so python -m benchmarks.edge_counted [--cpus cortex-a72 …]

The graphs are those of ``benchmarks/edge_predictor.py``: every family, several sizes, float and INT8, random weights. Counted is one
call for one record, by the runtime's own kernels for that core: instructions, and misses of two caches of the profile's sizes
(``benchmarks/arm_counter.c``). Counts are no seconds. Only the order is compared: ``rank.*`` is Spearman's correlation of the predicted
seconds with instructions, ``with_misses.rank.*`` that with instructions at :data:`A_CYCLE` a cycle and misses at the profile's
bandwidths, none of them overlapping, and ``rank.misses`` that with lines that the first cache lacks. ``faster_int8`` and
``with_misses.faster_int8`` are how often the model says as the counts do whether INT8 takes less than float.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.arm import LINE, Asked, Counts, counted, machine, missing
from benchmarks.edge_predictor import GOAL, Point, Subject, graphs, grouped, rank, record_of, right_about_int8
from benchmarks.harness import RESULTS, Claim, claim, parser, report
from shared.compress.cost import predict
from shared.compress.devices import DEVICES, DeviceProfile, find_profile
from shared.files import write_atomic

CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1")
"""Profiles whose core can be emulated under the same name."""


A_CYCLE = 1.5
"""Instructions that a core completes in a cycle: an assumption, between branchy code and dense kernels."""


@dataclass(frozen=True)
class Counted:
    """One graph on one core: predicted seconds and what was counted."""

    subject: Subject
    predicted: float
    counts: Counts


def points(cpu: str, *, most: int | None = None) -> list[Counted]:
    """Every graph on one core. ``most``: graphs at most, all by default."""
    profile = find_profile(cpu)
    subjects = list(graphs(profile))[:most]
    executed = counted([Asked(record_of(each.task), model=each.content) for each in subjects], cpu)
    return [Counted(each, predict(each.content, profile).seconds, counts) for each, counts in zip(subjects, executed, strict=True)]


def with_misses(counts: Counts, profile: DeviceProfile) -> float:
    """Seconds of instructions and misses one after the other: what the first cache lacks comes at the second one's bandwidth, what
    that lacks at that of what is behind it."""
    behind = [*(cache.bandwidth.value for cache in profile.caches[1:]), profile.memory_bandwidth.value]
    fetched = sum(LINE * misses / bandwidth for misses, bandwidth in zip(counts.misses, behind, strict=False))
    return counts.instructions / (A_CYCLE * profile.clock.value) + fetched


def claims(cpu: str, found: Sequence[Counted]) -> Iterator[Claim]:
    """Correlations of all graphs, of each precision and of each family."""
    profile = find_profile(cpu)
    executed = [Point(one.subject, one.predicted, one.counts.instructions) for one in found]
    lacking = [Point(one.subject, one.predicted, one.counts.misses[0]) for one in found]
    yield claim(f"{cpu}.graphs", [float(len(found))], "graphs")
    yield from _compared(cpu, executed)
    yield claim(f"{cpu}.rank.misses", [rank(lacking)], "Spearman")
    yield from _compared(f"{cpu}.with_misses", [Point(one.subject, one.predicted, with_misses(one.counts, profile)) for one in found])


def _compared(name: str, found: Sequence[Point]) -> Iterator[Claim]:
    for group, members in grouped(found).items():
        yield claim(f"{name}.rank.{group}", [rank(members)], "Spearman", goal=GOAL)
    yield claim(f"{name}.faster_int8", [right_about_int8(found)], "share")


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
        lines += [
            "",
            f"{cpu}: {machine(cpu)}",
            "",
            "| family | graph | | predicted ms | million instructions | thousand misses, first cache | second |",
        ]
        lines += ["|" + " --- |" * 7, *(row(point) for point in found)]
    report("edge_counted", entries, chosen)
    if not chosen.no_keep:
        path = RESULTS / "edge_counted.md"
        write_atomic(path, (path.read_text() + "\n".join(lines) + "\n").encode())


def row(found: Counted) -> str:
    """One line of the page's table."""
    subject, (first, second) = found.subject, found.counts.misses
    figures = f"{found.predicted * 1e3:.3f} | {found.counts.instructions / 1e6:.3f} | {first / 1e3:.2f} | {second / 1e3:.2f}"
    return f"| {subject.family} | {subject.name} | {subject.precision} | {figures} |"


if __name__ == "__main__":
    main()
