"""The INT8 files to put before the gate of a device, the best first.

Each grid of the device gives a file with every operator in INT8. Where a cost model of the device is at hand, there is one more of
each grid with only the operators that are worth it there, and one that keeps its weights alone in 8 bits, which is as fast as the
float file and a quarter of its size. Files that the model finds slower than the float one are left out, for they would not be signed;
the fastest is left where all are.
"""

from __future__ import annotations

from shared.compress.devices import PAYING, RECIPES, WEIGHTS_ONLY, find_profile
from shared.compress.paying import Cost, left_in_float
from shared.compress.quantise import Ranges, quantise

SAME_TIME = 0.01
"""Files whose times differ by less than this part of the float one's count as equally fast; the smaller one is then the better."""


def candidates(content: bytes, ranges: Ranges, device: str, cost: Cost | None = None) -> dict[str, bytes]:
    """The INT8 files by name of their recipe, best first; equal files once.

    ``content``: the float graph; ``cost``: seconds that the device takes for a file, or None where nothing is known of it: then the
    order is that of the device's grids. Equal arguments give equal bytes. ``device``: a known profile's name or
    the path of one; raises :class:`shared.errors.ConfigError` for neither.
    """
    grids, found = find_profile(device).grids, dict[str, bytes]()
    for name in grids:
        _add(found, name, quantise(content, ranges, name))
    if cost is None:
        return found
    # First what has a name of its own, should nothing be worth it.
    _add(found, WEIGHTS_ONLY, quantise(content, ranges, WEIGHTS_ONLY))
    for name in grids:
        if name + PAYING in RECIPES:
            _add(found, name + PAYING, quantise(content, ranges, name, in_float=left_in_float(content, ranges, name, cost)))
    return _ranked(found, cost, cost(content))


def not_slower(seconds: float, than: float) -> bool:
    """Whether a file that takes ``seconds`` is as fast as one that takes ``than``, as far as a cost model can tell."""
    return seconds <= than * (1 + SAME_TIME)


def _add(found: dict[str, bytes], name: str, made: bytes) -> None:
    if made not in found.values():
        found[name] = made


def _ranked(found: dict[str, bytes], cost: Cost, float_seconds: float) -> dict[str, bytes]:
    times = {name: cost(made) for name, made in found.items()}
    # Where the model finds none as fast, the gate is to say so with the figures of the fastest.
    kept = [name for name in found if not_slower(times[name], float_seconds)] or [min(times, key=lambda name: times[name])]
    steps = {name: round(times[name] / (SAME_TIME * float_seconds)) for name in kept}
    return {name: found[name] for name in sorted(kept, key=lambda name: (steps[name], len(found[name])))}
