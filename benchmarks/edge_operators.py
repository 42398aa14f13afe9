"""Multiply-accumulates an instruction of single convolutions on emulated ARM cores: what the profiles' rates of them rest on.

    FEDSTILL_ARM_PYTHON=COMMAND FEDSTILL_ARM_COUNTER=arm_counter.so python -m benchmarks.edge_operators [--cpus cortex-a72 …] [--json FILE]

The graphs are those of ``fedstill device measure``, with whole blocks of channels: a long chain of one operator and a short one, so that
what a call costs cancels; in INT8 each rescales its results to 8 bits. ``<core>.<kind>.<precision>`` is the median over sizes of 4 to 32
pixels a side and up to 256 channels that take no more than :data:`MOST` multiply-accumulates (spread: most less least),
``<core>.<kind>.int8_gain`` that of how many times fewer instructions the same size takes in INT8, and ``<core>.<kind>.share.<precision>``
the first over that of ``spatial``. Instructions are no seconds: they know neither caches nor how many of them a core completes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.arm import Asked, counted, machine, missing
from benchmarks.edge_counted import CORES
from benchmarks.harness import Claim, claim, parser, report
from shared.compress.cost.kinds import CONVOLUTIONAL
from shared.compress.measure.cases import Case, cases

BLOCK = 16
"""Channels that onnxruntime's ARM kernels compute together."""
MOST = 2**22
"""Multiply-accumulates of one convolution: an emulator takes minutes for larger ones."""
PRECISIONS = {False: "float", True: "int8"}

Rates = Mapping[tuple[str, bool], Mapping[tuple[int, int], float]]
"""Multiply-accumulates an instruction by kind and precision, then by rows and work."""


def convolutions() -> list[Case]:
    """All that are counted, of whole blocks of channels."""
    whole = (case for case in cases(block=BLOCK, quick=True) if case.kind in CONVOLUTIONAL and not case.ragged)
    return [case for case in whole if case.rows * case.work <= MOST]


def rates(cpu: str) -> Rates:
    """Of each of :func:`convolutions`, counted on ``cpu``."""
    chosen = convolutions()
    asked = [Asked(case.feed["inputs"], model=content) for case in chosen for content in case.pair()]
    executed = [one.instructions for one in counted(asked, cpu)]
    found: dict[tuple[str, bool], dict[tuple[int, int], float]] = {}
    for case, many, few in zip(chosen, executed[::2], executed[1::2], strict=True):
        found.setdefault((case.kind, case.int8), {})[case.rows, case.work] = rate(case, many, few)
    return found


def rate(case: Case, many: float, few: float) -> float:
    """Multiply-accumulates an instruction, where a call of the case's longer graph takes ``many`` and of its shorter ``few``."""
    return case.rows * case.work * case.copies / (many - few)


def claims(cpu: str, found: Rates) -> Iterator[Claim]:
    """Medians over sizes."""
    for (kind, int8), sizes in found.items():
        name = PRECISIONS[int8]
        yield claim(f"{cpu}.{kind}.{name}", list(sizes.values()), "MACs an instruction")
        yield claim(f"{cpu}.{kind}.share.{name}", [_typical(sizes) / _typical(found["spatial", int8])], "of spatial")
        if int8:
            floats = found[kind, False]
            yield claim(f"{cpu}.{kind}.int8_gain", [sizes[size] / floats[size] for size in sizes if size in floats], "×")


def _typical(sizes: Mapping[tuple[int, int], float]) -> float:
    return median(sizes.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Counts and reports; ends with code 21 where nothing can be counted."""
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--cpus", nargs="+", choices=CORES, default=list(CORES))
    chosen = options.parse_args(arguments)
    if reason := missing(counting=True):
        print(f"SKIPPED: {reason}", file=sys.stderr)
        raise SystemExit(21)
    entries: list[Claim] = []
    for cpu in chosen.cpus:
        print(f"{cpu}: {machine(cpu)}", file=sys.stderr, flush=True)
        entries += claims(cpu, rates(cpu))
    report("edge_operators", entries, chosen)


if __name__ == "__main__":
    main()
