"""What was measured as a profile, a table of plain values, and as the text of its TOML file."""

from __future__ import annotations

import datetime
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import onnxruntime as ort

from shared.compress.grids import EXACT_IN_16_BITS, EXACT_IN_32_BITS
from shared.compress.measure.cases import Case, cases
from shared.compress.measure.machine import Machine, read_bandwidth, this_machine
from shared.compress.measure.timing import Tell, in_turns, measure

_DIGITS = 4
_BENCH, _SYSTEM, _KERNELS, _GUESS = "bench", "system", "kernels", "unknown"
_DENSE = ("gemm", "spatial", "pointwise")
_UNKNOWN_CLOCK, _UNKNOWN_CACHES, _UNKNOWN_MEMORY = 1e9, (32 * 1024, 512 * 1024), 2**30
_PASSES, _BUDGET, _QUICK_PASSES, _QUICK_BUDGET = 4, 0.06, 2, 0.03


def measured_profile(name: str, *, quick: bool = False, tell: Tell | None = None) -> dict[str, Any]:
    """The profile of the device that this runs on, as ``shared.compress.devices.DeviceProfile`` reads it; takes minutes."""
    machine = this_machine()
    found = list(cases(block=machine.channel_block, quick=quick))
    passes, budget = (_QUICK_PASSES, _QUICK_BUDGET) if quick else (_PASSES, _BUDGET)
    seconds = measure(found, passes=passes, budget=budget, tell=tell)
    operators = tables(found, seconds)
    return _head(name, machine, operators) | _memory(machine) | _times(found, seconds, operators) | {"operators": operators}


def tables(found: Sequence[Case], seconds: Sequence[float]) -> list[dict[str, Any]]:
    """The operator tables; where noise says that more work takes less time, the longer time stands for both."""
    cells: dict[tuple[str, bool, bool], dict[tuple[int, int], float]] = defaultdict(dict)
    for case, value in zip(found, seconds, strict=True):
        cells[case.kind, case.int8, case.ragged][case.rows, case.work] = value
    return [_table(*key, cells[key]) for key in cells]


def _table(kind: str, int8: bool, ragged: bool, cells: dict[tuple[int, int], float]) -> dict[str, Any]:
    rows, work = (sorted({size[axis] for size in cells}) for axis in (0, 1))
    grid = [[cells[row, column] for column in work] for row in rows]
    for line, before in itertools.product(range(len(rows)), range(len(work))):
        above = grid[line - 1][before] if line else 0.0
        left = grid[line][before - 1] if before else 0.0
        grid[line][before] = max(grid[line][before], above, left)
    times = [[_rounded(value) for value in line] for line in grid]
    return {"kind": kind, "int8": int8, "ragged": ragged, "source": _BENCH, "rows": rows, "work": work, "seconds": times}


def _head(name: str, machine: Machine, operators: Sequence[dict[str, Any]]) -> dict[str, Any]:
    clock = machine.clock or _UNKNOWN_CLOCK
    best = {int8: _best_rate(operators, int8) / clock for int8 in (False, True)}
    exact = machine.adds_in_32_bits
    return {
        "format": 1,
        "name": name,
        "title": f"{machine.processor}, measured",
        "reason": "it adds 8-bit products in 32 bits: full-range signed weights are exact"
        if exact
        else "it may add 8-bit products in 16 bits, which saturate",
        "grids": list(EXACT_IN_32_BITS if exact else EXACT_IN_16_BITS),
        "instruction_sets": list(machine.instruction_sets),
        "sources": _sources(machine),
        "cores": _quantity(machine.cores, _SYSTEM),
        "clock": _quantity(clock, _SYSTEM if machine.clock else _GUESS),
        "float_macs": _quantity(best[False], _BENCH),
        "int8_macs": _quantity(best[True], _BENCH),
        "attained": _quantity(1.0, _BENCH),
        "channel_block": _quantity(machine.channel_block, _KERNELS),
        "blocked_floats": machine.blocked_floats,
    }


def _best_rate(operators: Sequence[dict[str, Any]], int8: bool) -> float:
    rates: list[float] = [
        rows * work / entry["seconds"][line][column]
        for entry in operators
        if entry["kind"] in _DENSE and entry["int8"] == int8
        for line, rows in enumerate(entry["rows"])
        for column, work in enumerate(entry["work"])
    ]
    return max(rates)


def _memory(machine: Machine) -> dict[str, Any]:
    sizes, source = (machine.caches, _SYSTEM) if machine.caches else (_UNKNOWN_CACHES, _GUESS)
    outside = max(4 * sizes[-1], 2**26) if sizes[-1] <= 2**26 else 2**28
    # From memory inwards, so that what is nearer is never slower for a noisy moment.
    speeds = [read_bandwidth(outside)]
    for size in reversed(sizes):
        speeds.append(max(speeds[-1], read_bandwidth(min(size, 2**26) // 2)))
    caches = [
        {"bytes": _quantity(size, source), "bandwidth": _quantity(speed, _BENCH)} for size, speed in zip(sizes, speeds[:0:-1], strict=True)
    ]
    memory = _quantity(machine.memory or _UNKNOWN_MEMORY, _SYSTEM if machine.memory else _GUESS)
    return {"caches": caches, "memory_bandwidth": _quantity(speeds[0], _BENCH), "memory_bytes": memory}


def _times(found: Sequence[Case], seconds: Sequence[float], operators: Sequence[dict[str, Any]]) -> dict[str, Any]:
    dispatch = next(entry["seconds"][0][0] for entry in operators if entry["kind"] == "view")
    smallest, own = next((case, value) for case, value in zip(found, seconds, strict=True) if case.kind == "elementwise" and not case.int8)
    call = min(in_turns(smallest, _BUDGET)[1] for _ in range(3)) - own
    return {"dispatch": _quantity(dispatch, _BENCH), "call": _quantity(max(call, dispatch), _BENCH)}


def _sources(machine: Machine) -> dict[str, dict[str, Any]]:
    where = {"machine": f"{machine.processor}, {machine.cores} cores", "runtime": f"onnxruntime {ort.__version__}", "date": _today()}
    bench = (
        "fedstill device measure: the slope over copies of one operator, one thread; the smallest over passes of a pass's median. "
        "Bandwidths are those of copies; multiply-accumulates a cycle are the best that any product or convolution reached."
    )
    sources: dict[str, dict[str, Any]] = {
        _BENCH: {"kind": "measured", "reason": bench, **where},
        _SYSTEM: {"kind": "measured", "reason": "as the device's system reports it in /proc and /sys", **where},
        _KERNELS: {"kind": "estimated", "reason": "how many channels onnxruntime's kernels for these instruction sets work on together"},
    }
    if machine.clock is None or not machine.caches or machine.memory is None:
        sources[_GUESS] = {"kind": "estimated", "reason": "the device's system does not say it: an assumption"}
    return sources


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _quantity(value: float, source: str) -> dict[str, Any]:
    return {"value": _rounded(value), "source": source}


def _rounded(value: float) -> float:
    if value == 0 or isinstance(value, int):
        return value
    return round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


def rendered(profile: dict[str, Any]) -> str:
    """The profile as TOML: a line a number or a row of a table. Written here, so that a device needs no package for it."""
    sources, operators = profile["sources"], profile["operators"]
    lines = ["# Written by fedstill device measure; docs/devices.md explains every key."]
    lines += [f"{key} = {_value(value)}" for key, value in profile.items() if key not in ("sources", "operators")]
    for name, source in sources.items():
        lines += ["", f"[sources.{name}]", *(f"{key} = {_value(value)}" for key, value in source.items())]
    for entry in operators:
        lines += ["", "[[operators]]", *(f"{key} = {_value(value, wide=key == 'seconds')}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any, *, wide: bool = False) -> str:
    write: Callable[[Any], str] = _value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {write(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list) and wide:
        return "[\n" + "".join(f"  {write(item)},\n" for item in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(write(item) for item in value) + "]"
    return value.isoformat() if isinstance(value, datetime.date) else repr(value)
