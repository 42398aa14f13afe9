"""What a file costs on a device, and on every other one that the device's profile stands for; and which of two files is the faster.

A profile such as ``portable`` is of no device that anybody has: a file for it goes to many, and one number cannot say that it is
slower on none of them.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.compress.cost.fused import fused
from shared.compress.cost.predicting import predicted
from shared.compress.devices import DEVICES, find_profile

SAME_TIME = 0.01
"""Times that differ by less than this part count as equal: a cost model cannot tell them apart."""


@dataclass(frozen=True)
class Times:
    """Seconds of one record: on the device itself, and by name on the ones that it stands for beside it."""

    seconds: float
    elsewhere: Mapping[str, float] = field(default_factory=dict)

    @property
    def most(self) -> float:
        """The seconds of the slowest of the devices, which a budget of time is about."""
        return max([self.seconds, *self.elsewhere.values()])

    def ratios(self, than: Times) -> dict[str, float]:
        """These seconds as a part of another file's, by device that it stands for. Both files' times are of the same devices."""
        return {name: taken / than.elsewhere[name] for name, taken in self.elsewhere.items()}

    def burden(self, than: Times) -> float:
        """How a file compares with another; less is better, and 1 is as fast.

        The geometric mean of what it takes as a part of the other's time on each device, for one that is nowhere slower; and the
        largest of these parts, more than 1 + :data:`SAME_TIME`, for one that is. So whatever is slower somewhere comes behind whatever
        is not. On one device both are the same.
        """
        ratios = [self.seconds / than.seconds, *self.ratios(than).values()]
        worst = max(ratios)
        return worst if worst > 1 + SAME_TIME else statistics.geometric_mean(ratios)

    def faster(self, than: Times) -> bool:
        """Whether a file is faster than another on one of the devices at least."""
        return min([self.seconds / than.seconds, *self.ratios(than).values()]) < 1 - SAME_TIME

    def slower(self, than: Times) -> tuple[str, float, float] | None:
        """Where a file is slower than another by most: the device (empty for the profile's own), its seconds and the other's; or None."""
        pairs = [("", self.seconds, than.seconds), *((name, taken, than.elsewhere[name]) for name, taken in self.elsewhere.items())]
        worst = max(pairs, key=lambda pair: pair[1] / pair[2])
        return worst if worst[1] > worst[2] * (1 + SAME_TIME) else None


Timing = Callable[[bytes], Times]
"""What a device, and those that it stands for, would take for one record with an ONNX file; equal bytes cost the same."""


def timing_on(device: str) -> Timing:
    """The cost models of a known profile, or of one in a ``.toml``, and of the devices that it stands for, asked once about each file.

    Raises :class:`shared.errors.ConfigError` for neither, and what is returned :class:`shared.errors.ArtifactError` for a file that
    the runtime cannot run.
    """
    profile, known = find_profile(device), dict[bytes, Times]()
    others = [DEVICES[name] for name in profile.stands_for]

    def times(content: bytes) -> Times:
        digest = hashlib.sha256(content).digest()
        if digest not in known:
            graph = fused(content)
            known[digest] = Times(predicted(graph, profile).seconds, {one.name: predicted(graph, one).seconds for one in others})
        return known[digest]

    return times
