"""Seconds of one operator: passes over all cases, so that a busy minute spoils one pass and not one operator.

In a pass the two graphs of a case run in turns; the median of each graph's runs stands for the pass, and the smallest of the passes for
the graph: other processes only ever add time. The clock is that of the one thread that computes, which stands still while others
have its core.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import onnxruntime as ort

from shared.compress import runtime
from shared.compress.measure.cases import Case

LEAST = 1e-8
"""Seconds that no operator is faster than: what noise leaves of less is none."""
_FEWEST, _MOST = 7, 400

Tell = Callable[[int, int], None]


def measure(found: Sequence[Case], *, passes: int, budget: float, tell: Tell | None = None) -> list[float]:
    """Seconds of one operator of each case. ``budget``: seconds that one case may take in one pass, beside loading its graphs.

    ``tell(done, all)`` is called after each case of each pass.
    """
    best = [[float("inf"), float("inf")] for _ in found]
    for number in range(passes):
        for place, case in enumerate(found):
            for which, seconds in enumerate(in_turns(case, budget)):
                best[place][which] = min(best[place][which], seconds)
            if tell is not None:
                tell(number * len(found) + place + 1, passes * len(found))
    return [max(LEAST, (long - short) / case.copies) for case, (long, short) in zip(found, best, strict=True)]


def in_turns(case: Case, budget: float) -> tuple[float, float]:
    """The medians of the longer and of the shorter graph."""
    calls = [_call(runtime.session(content), case.feed) for content in case.pair()]
    for call in calls:
        call()
    durations: tuple[list[float], list[float]] = ([], [])
    ends = time.perf_counter() + budget
    while len(durations[0]) < _FEWEST or (time.perf_counter() < ends and len(durations[0]) < _MOST):
        for call, seconds in zip(calls, durations, strict=True):
            start = time.thread_time()
            call()
            seconds.append(time.thread_time() - start)
    return statistics.median(durations[0]), statistics.median(durations[1])


def _call(session: ort.InferenceSession, feed: dict[str, Any]) -> Callable[[], object]:
    taken = {value.name: feed[value.name] for value in session.get_inputs()}
    # Every node runs, whatever is asked for; one result alone keeps the copies to numpy out of the time.
    first = [session.get_outputs()[0].name]
    return lambda: session.run(first, taken)
