"""What a device profile holds: a frozen value, read from TOML, in which every number names its source.

Units are seconds, bytes, bytes a second, hertz and multiply-accumulates a cycle of one core. A number is either ``measured`` (then
its source says on which machine, with which runtime and when) or ``estimated`` (then it says from which public document). Times are
of batch 1 on one thread.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.compress.grids import RECIPES, WHOLE_GRIDS
from shared.frozen import Frozen

Kind = Literal[
    "gemm",
    "product",
    "spatial",
    "pointwise",
    "depthwise",
    "elementwise",
    "broadcast",
    "select",
    "activation",
    "normalise",
    "softmax",
    "reduce",
    "pool",
    "gather",
    "move",
    "turn",
    "relayout",
    "quantise",
    "dequantise",
    "view",
]
"""What executed operators are counted as; ``shared/compress/cost/kinds.py`` maps those of onnxruntime to them."""


class Source(Frozen):
    """Where numbers come from. ``reason``: how they were measured, or the public document and the reasoning that they follow from."""

    kind: Literal["measured", "estimated"]
    reason: str = Field(min_length=10)
    machine: str | None = None
    runtime: str | None = None
    date: datetime.date | None = None

    @model_validator(mode="after")
    def _measurements_can_be_repeated(self) -> Self:
        if self.kind == "measured" and not (self.machine and self.runtime and self.date):
            raise ValueError("a measured source names its machine, its runtime and its date")
        return self


class Quantity(Frozen):
    """One number and the name of its source."""

    value: float = Field(gt=0)
    source: str


class Cache(Frozen):
    """One level, as one core sees it: how much it holds and how fast it is read."""

    bytes: Quantity
    bandwidth: Quantity


Increasing = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=64)]


class OperatorTable(Frozen):
    """Seconds of one executed operator, dispatch included, over a grid of sizes: ``seconds[i][j]`` at ``rows[i]``, ``work[j]``.

    ``rows`` are those of a matrix product, pixels of the output of a convolution, or rows of what is normalised or broadcast;
    ``work`` is what each of them takes: multiply-accumulates, or elements where nothing is multiplied. ``ragged``: by kernels that do
    not work on whole blocks of channels, as where there is no multiple of ``channel_block`` of them. Seconds never fall along either axis.
    """

    kind: Kind
    int8: bool
    ragged: bool = False
    source: str
    rows: Increasing
    work: Increasing
    seconds: tuple[Increasing, ...]

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        name = f"the table of {self.kind} in {'INT8' if self.int8 else 'float'}"
        if any(not _rises(axis) for axis in (self.rows, self.work)):
            raise ValueError(f"{name} has rows or work that do not increase; sort them")
        if len(self.seconds) != len(self.rows) or any(len(row) != len(self.work) for row in self.seconds):
            raise ValueError(f"{name} has not one time for each of {len(self.rows)} rows and {len(self.work)} works; measure it again")
        across = [*self.seconds, *zip(*self.seconds, strict=True)]
        if any(before > after for line in across for before, after in itertools.pairwise(line)):
            raise ValueError(f"{name} says that more work takes less time; measure it again on a quiet device")
        return self


class DeviceProfile(Frozen):
    """A kind of device. ``grids``: the names of ``RECIPES`` that may be signed for it, best first, and ``reason`` why these.

    ``float_macs`` and ``int8_macs`` are the most multiply-accumulates a cycle of one core, ``attained`` the share of them that
    dense kernels reach; ``depthwise_float_macs`` and ``depthwise_int8_macs`` replace them for depthwise convolutions, which without
    them do a quarter and a sixteenth; ``channel_block`` the channels that kernels work on together (others are padded),
    ``blocked_floats`` whether float convolutions keep maps in such blocks; ``memory_bandwidth`` what one core reads, ``memory_bytes``
    what a device of this kind has at least; ``dispatch`` the seconds that each operator costs before it computes anything, ``call``
    those of one call of the runtime. ``operators`` are measured tables: what they lack is estimated from the rest
    (``shared/compress/cost/roofline.py``). ``stands_for``: names of known devices that a file for this one goes to as well, and on none
    of which it may be slower than float or over a budget of time.
    """

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    title: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=10)
    grids: tuple[str, ...] = Field(min_length=1)
    instruction_sets: tuple[str, ...] = Field(min_length=1)
    stands_for: tuple[str, ...] = ()
    sources: dict[str, Source]
    cores: Quantity
    clock: Quantity
    float_macs: Quantity
    int8_macs: Quantity
    depthwise_float_macs: Quantity | None = None
    depthwise_int8_macs: Quantity | None = None
    attained: Quantity
    channel_block: Quantity
    blocked_floats: bool = False
    caches: tuple[Cache, ...] = Field(min_length=1)
    memory_bandwidth: Quantity
    memory_bytes: Quantity
    dispatch: Quantity
    call: Quantity
    operators: tuple[OperatorTable, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        unknown = [name for name in self.grids if name not in WHOLE_GRIDS]
        if unknown:
            raise ValueError(f"unknown grid '{unknown[0]}'; known are {', '.join(WHOLE_GRIDS)}")
        lost = [name for name in self.named_sources() if name not in self.sources]
        if lost:
            raise ValueError(f"a number names the source '{lost[0]}', which [sources] has not; add [sources.{lost[0]}]")
        if not _rises([cache.bytes.value for cache in self.caches]):
            raise ValueError("caches are not sorted from the smallest to the largest")
        speeds = [*(cache.bandwidth.value for cache in self.caches), self.memory_bandwidth.value]
        if any(near < far for near, far in itertools.pairwise(speeds)):
            raise ValueError("a cache is slower than a larger one or than memory; correct the bandwidths")
        keys = [(table.kind, table.int8, table.ragged) for table in self.operators]
        if len(set(keys)) != len(keys):
            raise ValueError("two tables of operators are of the same kind; keep one")
        return self

    def named_sources(self) -> Iterator[str]:
        """The source of every number, in the order of the fields."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Quantity):
                yield value.source
        for cache in self.caches:
            yield from (cache.bytes.source, cache.bandwidth.source)
        for table in self.operators:
            yield table.source

    @property
    def saturates(self) -> bool:
        """Whether a grid that may be signed for it would overflow where bytes are added in 16 bits."""
        return any(RECIPES[name].grid.saturates for name in self.grids)


def _rises(axis: Sequence[float]) -> bool:
    return all(before < after for before, after in itertools.pairwise(axis))
