"""The INT8 files to put before the gate of a device, the best first.

Each grid of the device gives a file with every operator in INT8. Where a cost model of the device is at hand, there is one more of
each grid with only the operators that are worth it there, and one that keeps its weights alone in 8 bits, which is as fast as the
float file and a quarter of its size. Files that the model finds slower than the float one are left out, for they would not be signed;
the fastest is left where all are. Where a profile stands for several devices, a file is worth what it is worth on all of them
(``shared.compress.cost.Times``); one that is slower on some and faster on others comes last. The gate does not sign it for all, but
once it has counted, ``fedstill compress --statistics`` can sign it for one of those others.
"""

from __future__ import annotations

from shared.compress.cost.times import SAME_TIME, Times, Timing
from shared.compress.devices import PAYING, RECIPES, WEIGHTS_ONLY, find_profile
from shared.compress.paying import left_in_float
from shared.compress.quantise import Ranges, quantise


def candidates(content: bytes, ranges: Ranges, device: str, timing: Timing | None = None) -> dict[str, bytes]:
    """The INT8 files by name of their recipe, best first; equal files once.

    ``content``: the float graph; ``timing``: what the device, and every other that it stands for, takes for a file, or None where
    nothing is known of it: then the order is that of the device's grids. ``device``: a known profile's name or the path of one; raises
    :class:`shared.errors.ConfigError` for neither. Equal arguments give equal bytes.
    """
    grids, found = find_profile(device).grids, dict[str, bytes]()
    for name in grids:
        _add(found, name, quantise(content, ranges, name))
    if timing is None:
        return found
    whole = timing(content)

    def burden(made: bytes) -> float:
        return timing(made).burden(whole)

    # First what has a name of its own, should nothing be worth it.
    _add(found, WEIGHTS_ONLY, quantise(content, ranges, WEIGHTS_ONLY))
    for name in grids:
        if name + PAYING in RECIPES:
            _add(found, name + PAYING, quantise(content, ranges, name, in_float=left_in_float(content, ranges, name, burden)))
    return _ranked(found, {name: timing(made) for name, made in found.items()}, whole)


def _add(found: dict[str, bytes], name: str, made: bytes) -> None:
    if made not in found.values():
        found[name] = made


def _ranked(found: dict[str, bytes], times: dict[str, Times], whole: Times) -> dict[str, bytes]:
    burdens = {name: taken.burden(whole) for name, taken in times.items()}
    # Where the model finds none as fast, the gate is to say so with the figures of the fastest.
    fastest = min(burdens, key=lambda name: burdens[name])
    kept = [name for name in found if name == fastest or times[name].slower(whole) is None or times[name].faster(whole)]
    # Of files as fast the smaller is better.
    steps = {name: round(burdens[name] / SAME_TIME) for name in kept}
    return {name: found[name] for name in sorted(kept, key=lambda name: (steps[name], len(found[name])))}
