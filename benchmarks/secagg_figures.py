"""What was measured of secure aggregation, and the claims that follow from it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.consortium import Case, Measured
from benchmarks.harness import Claim, claim

CLIENT_SPEEDUP, SERVER_SPEEDUP, OVER_KEYSTREAM = 10.0, 20.0, 2.0
"""The goals."""
OURS: Mapping[str, tuple[str, ...]] = {"client": ("client",), "server": ("finish", "mean"), "keys": ("keys", "client")}
"""The stages of fedstill's that a figure adds up; ``keys`` are those of a round without an update."""
FLOWERS: Mapping[str, tuple[str, ...]] = {"client": ("client",), "server": ("unmask_stage",), "keys": ("setup", "share_keys")}
"""The same of Flower's."""
COLLECTING = ("add", "add_agreement", "request", "add_shares")
"""What the coordinator does with the messages of a round before it takes the masks off."""


@dataclass
class Limits:
    """CPU seconds of each repeat: the bare keystreams of an institution's and of the server's masks, and the masks added."""

    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """One case; an entry a repeat. ``keys`` are fedstill's rounds without an update."""

    case: Case
    ours: list[Measured] = field(default_factory=list)
    flower: list[Measured] = field(default_factory=list)
    keys: list[Measured] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)


def cpu(measured: Measured, *stages: str) -> float:
    """CPU seconds of one call of each stage, added up: medians over the calls."""
    return sum(statistics.median(one.cpu for one in measured.stages[stage]) for stage in stages)


def total_cpu(measured: Measured, *stages: str) -> float:
    """CPU seconds of all calls of the stages."""
    return sum(one.cpu for stage in stages for one in measured.stages.get(stage, []))


def compared(found: Comparison, *, client: bool) -> Iterator[Claim]:
    """The claims of one case; those of an institution only if asked, since they do not depend on who is lost."""
    case = found.case
    if client:
        name = f"{short(case.params)}_{case.members}_w{case.width}_client"
        yield from _side(found, name, "client", CLIENT_SPEEDUP, found.limits.client)
        yield _ratio(f"{name}_masks_over_keystream", found.limits.masks, found.limits.client, goal=OVER_KEYSTREAM)
        flower = statistics.median(cpu(one, *FLOWERS["keys"]) for one in found.flower)
        yield claim(f"{name}_keys_cpu", [cpu(one, *OURS["keys"]) for one in found.keys], "s", baseline=flower)
        bytes_up, theirs = ([one.bytes_up / case.params for one in side] for side in (found.ours, found.flower))
        yield claim(f"{name}_bytes_up", bytes_up, "bytes a parameter", baseline=statistics.median(theirs))
    name = f"{short(case.params)}_{case.members}_{case.lost}lost_w{case.width}_server"
    yield from _side(found, name, "server", SERVER_SPEEDUP, found.limits.server)
    yield claim(f"{name}_finish_cpu", [cpu(one, "finish") for one in found.ours], "s")


def grown(cohorts: Mapping[int, Sequence[Measured]]) -> Iterator[Claim]:
    """The claims about cohorts of several sizes, and with which power of the size each figure grows."""
    for figure, (unit, read) in _GROWING.items():
        values = {members: [*map(read, measured)] for members, measured in cohorts.items()}
        if any(map(math.isnan, itertools.chain(*values.values()))):
            continue
        for members, several in values.items():
            yield claim(f"cohort_{members}_{figure}", several, unit)
        least, most = min(values), max(values)
        first, last = statistics.median(values[least]), statistics.median(values[most])
        if most > least and first > 0 and last > 0:
            yield claim(f"cohort_{figure}_growth", [math.log(last / first) / math.log(most / least)], "power of members")


def short(params: int) -> str:
    """``10M`` for ten million."""
    return f"{params // 10**6}M" if params % 10**6 == 0 else f"{params / 1000:g}k"


def _side(found: Comparison, name: str, side: str, goal: float, keystream: Sequence[float]) -> Iterator[Claim]:
    pairs = {
        figure: ([read(one, *OURS[side]) for one in found.ours], [read(one, *FLOWERS[side]) for one in found.flower])
        for figure, read in (("cpu", cpu), ("wall", _wall), ("peak_memory", _peak))
    }
    for figure, (ours, flower) in pairs.items():
        if not any(map(math.isnan, [*ours, *flower])):
            yield claim(f"{name}_{figure}", ours, "MB" if figure == "peak_memory" else "s", baseline=statistics.median(flower))
    ours, flower = pairs["cpu"]
    yield _ratio(f"{name}_speedup", flower, ours, goal=goal)
    yield _ratio(f"{name}_over_keystream", ours, keystream, goal=OVER_KEYSTREAM if side == "client" else None)


def _ratio(name: str, above: Sequence[float], below: Sequence[float], *, goal: float | None) -> Claim:
    return claim(name, [one / other for one, other in zip(above, below, strict=True)], "ratio", goal=goal)


def _wall(measured: Measured, *stages: str) -> float:
    return sum(statistics.median(one.wall for one in measured.stages[stage]) for stage in stages)


def _peak(measured: Measured, *stages: str) -> float:
    # Added up: what one stage keeps is there in the next.
    return sum(max(one.peak for one in measured.stages[stage]) for stage in stages) / 1e6


_GROWING: dict[str, tuple[str, Callable[[Measured], float]]] = {
    "institution_keys_cpu": ("s", lambda one: cpu(one, "keys")),
    "institution_masking_cpu": ("s", lambda one: cpu(one, "client")),
    "institution_unmasking_cpu": ("s", lambda one: cpu(one, "agree", "unmask")),
    "institution_peak_memory": ("MB", lambda one: _peak(one, "client")),
    "institution_bytes_up": ("bytes", lambda one: one.bytes_up),
    "coordinator_collecting_cpu": ("s", lambda one: total_cpu(one, *COLLECTING)),
    "coordinator_unmasking_cpu": ("s", lambda one: cpu(one, *OURS["server"])),
    "coordinator_held_memory": ("MB", lambda one: one.coordinator_bytes / 1e6),
    "coordinator_peak_memory": ("MB", lambda one: _peak(one, *OURS["server"])),
}
