"""The prune step: one cut after another, each healed and then judged, until the next would lose too much or win no time.

A rewrite, such as a convolution split in two, is a cut as any other: it is kept where the device is faster for it and little is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedstill.compressing.lessons import Lessons
from fedstill.report.compressed import Cut

if TYPE_CHECKING:
    from shared.compress.cost import Times
    from shared.compress.prune.plan import PruneSettings
    from shared.models import Network

LEAST_WON = 0.01
"""A cut must win this part of the time on the device, and be slower on none that it stands for: below it the cost model says nothing,
and quality would go for nothing."""
SHARE_OF_DROP = 0.5
"""The part of what may be lost in all that cuts may lose: the rest is left to quantising, and to luck on other records."""
RANKED = 2048
"""Records that parts are ranked by at most."""


@dataclass(frozen=True)
class Limits:
    """When to stop: ``max_drop`` of accuracy in all, ``seconds`` on the slowest device that are few enough (None: as few as can be had)."""

    max_drop: float
    seconds: float | None = None


@dataclass(frozen=True)
class Kept:
    """A student on the way, its times on the device and those that it stands for, and its accuracy on the watched records."""

    student: Network
    times: Times
    accuracy: float


def cuts(
    student: Network,
    lessons: Lessons,
    settings: PruneSettings,
    limits: Limits,
    timing: Callable[[Network], Times],
    epochs: int,
    on_epoch: Callable[[float], object] = lambda loss: None,
) -> Iterator[tuple[Cut, Network]]:
    """Every cut that was tried, with the student to go on with after it: the smaller one, or the one before.

    Blocks are offered first, the cheapest to lose at each moment, then heads, then inner channels, then rewrites. A kind of cut that
    was refused once is not tried again: what is left is more needed, not less.
    """
    start = Kept(student, timing(student), lessons.watched(student).accuracy)
    now, refused = start, set[str]()
    while limits.seconds is None or now.times.most > limits.seconds:
        for name, smaller, exact in _offered(now.student, lessons, settings, refused):
            cut, after = _tried(name, smaller, now, start, lessons, limits, timing, 0 if exact else epochs, on_epoch)
            yield cut, after.student
            if cut.accepted:
                now = after
                break
            refused.add(kind_of(name))
        else:
            return


def kind_of(name: str) -> str:
    """What a refused cut stands for: any block, any head, inner channels of one width, or the one rewrite."""
    if re.fullmatch(r"\d+ of \d+ blocks", name):
        return "block"
    cut = re.fullmatch(r"(heads|inner) ([\d, →]+)→\d+", name)
    if cut is None:
        return name
    return "heads" if cut[1] == "heads" else f"inner {cut[2].partition('→')[0]}"


def _offered(student: Network, lessons: Lessons, settings: PruneSettings, refused: set[str]) -> Iterator[tuple[str, Network, bool]]:
    import numpy as np

    from shared.compress.prune.apply import prune
    from shared.compress.prune.steps import propose
    from shared.compress.rewrite.propose import propose_rewrites

    learn = lessons.parts.learn
    ranked = learn.take(np.arange(min(RANKED, len(learn))))
    for step in propose(student, ranked, lessons.parts.watch, settings):
        if kind_of(step.name) not in refused:
            yield step.name, prune(student, step.plan), False
    for rewrite in propose_rewrites(student, settings.multiple):
        if kind_of(rewrite.name) not in refused:
            yield rewrite.name, rewrite.student, rewrite.exact


def _tried(
    name: str,
    smaller: Network,
    now: Kept,
    start: Kept,
    lessons: Lessons,
    limits: Limits,
    timing: Callable[[Network], Times],
    epochs: int,
    on_epoch: Callable[[float], object],
) -> tuple[Cut, Kept]:
    from shared.models import count_parameters

    times, parameters = timing(smaller), count_parameters(smaller)
    if times.burden(now.times) > 1 - LEAST_WON:
        return _cut(name, now, now.accuracy, parameters, times.seconds, "wins no time on the device"), now
    healed = lessons.heal(smaller, epochs, name, on_epoch)
    accuracy = lessons.watched(healed).accuracy
    lost = start.accuracy - accuracy
    if lost > SHARE_OF_DROP * limits.max_drop:
        return _cut(name, now, accuracy, parameters, times.seconds, f"{100 * lost:.2f} points lost in all"), now
    return _cut(name, now, accuracy, parameters, times.seconds, ""), Kept(healed, times, accuracy)


def _cut(name: str, now: Kept, accuracy: float, parameters: int, seconds: float, reason: str) -> Cut:
    return Cut(
        name=name,
        before=now.accuracy,
        accuracy=accuracy,
        parameters=parameters,
        device_ms=1000 * seconds,
        accepted=not reason,
        reason=reason,
    )
