"""What a round of secure aggregation costs, beside Flower's SecAgg+ and beside the bare cipher.

    python -m benchmarks.secagg [--params 1000000 10000000] [--members 5 10 50] [--lost 0 0.1 0.2] [--json FILE] [--quick]
    python -m benchmarks.secagg --cohort 10 100 1000 [--params 1000000] [--json FILE]

Both protocols run in turns in one process, on the complete graph and with the same threshold. Claims are named by words of an
update, members, lost ones and bits of a ring word (Flower's have 32 bits and travel as 64):

- ``client``: encoding and masking at one institution. fedstill's has all of a first round in it: pair keys, dealing, sealing,
  signing. Flower does these in earlier stages, which are not counted here.
- ``client_keys``: what does not grow with the update, those earlier stages of Flower's among it. fedstill's checks everybody's
  signed keys besides.
- ``server``: from all shares at hand to the mean update; ``server_finish`` is the part up to the sum. Members are lost once
  they have dealt: nothing earlier lets Flower complete a round.
- ``over_keystream``: CPU seconds as a multiple of what AES-256-CTR needs for the keystreams of the same masks and nothing else;
  ``client_masks_over_keystream`` is that of adding the masks, without all else that an institution does.

Speed-ups are ratios of CPU seconds, so that other work on the machine does not count. The baseline is Flower's figure. Peaks
are memory above what was resident before. ``--cohort`` shows how fedstill's own round grows with the cohort.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks import harness, secagg_plots
from benchmarks.consortium import Case, Measured, measure
from benchmarks.flower_secagg import FlowerCohort
from benchmarks.harness import parser, report
from benchmarks.secagg_figures import Comparison, compared, grown
from benchmarks.stopwatch import spent
from shared.secagg.encoding import DTYPES
from shared.secagg.masks import CHUNK_BYTES, Mask, apply, keystream

COHORT_LOST = 0.1
COHORT_WIDTH = 16
"""8 bits have no headroom for a sum over more than 127 institutions."""
_SEED = bytes(32)


def compare(params: int, members: int, chosen: Namespace) -> list[Comparison]:
    """Every case of one size, both protocols in turns."""
    flower = FlowerCohort(members)
    lost = [round(part * members) for part in chosen.lost if not part or round(part * members)]
    found = []
    for case in (Case(params, members, count) for count in lost):
        widths = [Comparison(case._replace(width=width)) for width in chosen.widths]
        for seed in range(chosen.seeds):
            theirs = flower.measure(case, seed, chosen.sample)
            for one in widths:
                one.flower.append(theirs)
                _measure(one, seed, chosen.sample)
        found += widths
        print(f"{params} words, {members} members, {case.lost} lost: done", file=sys.stderr)
    return found


def grow(sizes: Sequence[int], params: int, chosen: Namespace) -> dict[int, list[Measured]]:
    """Rounds over cohorts of several sizes."""
    found: dict[int, list[Measured]] = {}
    for members in sizes:
        case = Case(params, members, round(COHORT_LOST * members), COHORT_WIDTH)
        found[members] = [measure(case, seed, chosen.sample) for seed in range(chosen.seeds)]
        print(f"{params} words, {members} members: done", file=sys.stderr)
    return found


def bare_keystreams(size: int, masks: int) -> float:
    """CPU seconds of ``masks`` keystreams of ``size`` bytes that nobody adds to anything."""
    zeros, buffer = memoryview(bytes(CHUNK_BYTES)), memoryview(bytearray(CHUNK_BYTES + 16))

    def read() -> None:
        for _ in range(masks):
            stream = keystream(_SEED)
            for start in range(0, size, CHUNK_BYTES):
                stream(zeros[: min(CHUNK_BYTES, size - start)], buffer)

    return _cpu(read)


def masks_added(case: Case) -> float:
    """CPU seconds of adding an institution's masks to an update."""
    words, counters = np.zeros(case.params, DTYPES[case.width]), np.zeros(2, np.uint64)
    masks = [Mask(_SEED, place % 2 == 0) for place in range(case.members)]
    return _cpu(lambda: apply(words, counters, masks))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--params", type=int, nargs="+", default=[1_000_000, 10_000_000], help="words of an update")
    options.add_argument("--members", type=int, nargs="+", default=[5, 10, 50], help="institutions of a cohort")
    options.add_argument("--lost", type=float, nargs="+", default=[0.0, 0.1, 0.2], help="parts of a cohort that are lost")
    options.add_argument("--widths", type=int, nargs="+", default=[8, 16], choices=sorted(DTYPES), help="bits of a ring word")
    options.add_argument("--sample", type=int, default=2, help="institutions whose work is timed (default 2)")
    options.add_argument("--cohort", type=int, nargs="+", metavar="N", help="only fedstill's own round, for these cohorts")
    options.add_argument("--quick", action="store_true", help="small updates and cohorts, sums checked on both sides; nothing is kept")
    chosen = options.parse_args(arguments)
    if chosen.quick:
        _shrink(chosen)
    comparisons = [] if chosen.cohort and not chosen.quick else _compare_all(chosen)
    cohorts = grow(chosen.cohort, chosen.params[0], chosen) if chosen.cohort else {}
    first = comparisons[0].case.lost if comparisons else 0
    claims = [entry for one in comparisons for entry in compared(one, client=one.case.lost == first)]
    claims += grown(cohorts) if cohorts else []
    report("secagg", claims, chosen)
    if not chosen.no_keep:
        secagg_plots.draw(comparisons, cohorts, harness.RESULTS)


def _shrink(chosen: Namespace) -> None:
    chosen.seeds, chosen.params, chosen.members, chosen.lost = 1, [20_000], [5], [0.0, 0.2]
    chosen.sample, chosen.cohort, chosen.no_keep = 5, [6, 12], True


def _compare_all(chosen: Namespace) -> list[Comparison]:
    return [one for params in chosen.params for members in chosen.members for one in compare(params, members, chosen)]


def _measure(one: Comparison, seed: int, sample: int) -> None:
    case = one.case
    one.ours.append(measure(case, seed, sample))
    one.keys.append(measure(case._replace(params=0, lost=0), seed, sample))
    size, survivors = case.params * case.width // 8, case.members - case.lost
    one.limits.client.append(bare_keystreams(size, case.members))
    one.limits.masks.append(masks_added(case))
    one.limits.server.append(bare_keystreams(size, survivors * (1 + case.lost)))


def _cpu(work: Callable[[], object]) -> float:
    return spent(work)[1].cpu


if __name__ == "__main__":
    main()
