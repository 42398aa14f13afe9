"""Which operators are measured at which sizes: the designed grid from which everything else is interpolated.

Each case is two graphs that differ by ``copies`` of the operator alone, so that what a call costs, and what converts at the ends,
cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from shared.compress.measure.graphs import FLOAT, INT64, UINT8, Array, Sketch, Step, beside, chained

_CACHED = 2**20


@dataclass(frozen=True)
class Case:
    """One cell of a table: ``rows`` and ``work`` as in a profile's operator table; ``graph`` makes a graph with that many copies.

    ``without`` makes one in which all but the operator is the same, where something must stand between the copies.
    """

    kind: str
    int8: bool
    rows: int
    work: int
    copies: int
    graph: Callable[[int], bytes]
    feed: dict[str, Array]
    ragged: bool = False
    without: Callable[[int], bytes] | None = field(default=None)

    def pair(self) -> tuple[bytes, bytes]:
        """The longer graph and the shorter one."""
        if self.without is not None:
            return self.graph(self.copies), self.without(self.copies)
        return self.graph(self.copies + 1), self.graph(1)


def cases(*, block: int, quick: bool = False) -> Iterator[Case]:
    """All cases; with ``quick`` on a coarser grid. ``block``: the device's channel block, for what is measured beside it."""
    thin = _thinned if quick else tuple
    wide = [width for width in (16, 32, 64, 128, 256) if width % block == 0]
    odd = [block + 1, 3 * block + 1, 7 * block + 1]
    # Float maps are filled up to blocks where there are fewer channels than one; INT8 columns are not.
    few: dict[bool, list[int]] = {False: [], True: [block // 4, block // 2]}
    for int8 in (False, True):
        for rows in thin((1, 4, 16, 64, 256)):
            yield from (_gemm(rows, width, int8) for width in thin((16, 32, 64, 128, 256, 512, 1024)))
            yield from (_gemm(rows, width, int8, ragged=True) for width in thin((5, 9, 25, 57, 121, 249)))
        for side in thin((4, 8, 16, 32)):
            yield _conv("spatial", side, 16, int8, kernel=(1, 3))
            yield from (_conv("spatial", side, width, int8) for width in thin(wide[:-1]))
            yield from (_conv("pointwise", side, width, int8, kernel=(1, 1)) for width in thin(wide))
            yield from (_conv("depthwise", side, width, int8) for width in thin(wide))
            for kind, kernel in (("spatial", (3, 3)), ("pointwise", (1, 1)), ("depthwise", (3, 3))):
                yield from (_conv(kind, side, width, int8, kernel=kernel, ragged=True) for width in thin(few[int8] + odd))
        yield from (_sum(size, int8) for size in thin((16, 256, 4096, 65_536, 524_288)))
        yield from (_turned("turn", size, int8) for size in thin((256, 4096, 65_536)))
        yield from (_turned("relayout", size, int8) for size in thin((256, 4096, 65_536)))
        yield from (_cut(size, int8) for size in thin((64, 1024, 16_384, 131_072)))
    for rows in thin((4, 16, 64, 128)):
        yield from (_product(rows, inner, columns) for inner, columns in thin(((8, 8), (16, 16), (32, 64), (64, 128))))
    for rows in thin((1, 16, 128)):
        yield from (_normalised(rows, length) for length in thin((16, 64, 256, 768)))
        yield from (_softmax(rows * 4, length) for length in thin((8, 32, 128, 256)))
    for rows in thin((4, 64, 1024)):
        yield from (_broadcast(rows, span) for span in thin((3, 16, 64, 256)))
        yield from (_selected(rows, span) for span in thin((3, 16, 64, 256)))
    yield from (_activation(size) for size in thin((64, 1024, 16_384, 131_072)))
    yield from (_mean(size) for size in thin((256, 4096, 65_536)))
    yield from (_looked_up(size) for size in thin((64, 1024, 16_384, 131_072)))
    yield from (_converted("quantise", size) for size in thin((16, 256, 4096, 65_536, 524_288)))
    yield from (_converted("dequantise", size) for size in thin((16, 256, 4096, 65_536, 524_288)))
    yield _view()


def _thinned(axis: Sequence[Any]) -> tuple[Any, ...]:
    return (*axis[:-1:2], axis[-1])


def copies_of(numbers: float, weights: float = 0) -> int:
    """How many copies of an operator that computes so many numbers: many where one is lost in the noise of a call, but few
    where their bytes of ``weights`` would not fit into the cache of a core together, as those of a small student do."""
    return int(np.clip(min(2**24 / max(numbers, 1), _CACHED / max(weights, 1)), 2, 24))


def _record(*shape: int) -> dict[str, Array]:
    return {"inputs": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


def _gemm(rows: int, width: int, int8: bool, *, ragged: bool = False) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        weights = sketch.bytes_of_weights(width, width, axis=1) if int8 else sketch.weights(width, width, inner=width)
        return sketch.add("MatMul", [last, weights])

    graph = partial(_graph, beside if int8 else chained, (rows, width), step, {"in_int8": True} if int8 else {})
    copies = copies_of(rows * width * width, width * width * (1 if int8 else 4))
    return Case("gemm", int8, rows, width * width, copies, graph, _record(rows, width), ragged)


def _conv(kind: str, side: int, width: int, int8: bool, *, kernel: tuple[int, int] = (3, 3), ragged: bool = False) -> Case:
    groups = width if kind == "depthwise" else 1
    shape, area = (width, width // groups, *kernel), kernel[0] * kernel[1]
    pads = [kernel[0] // 2, kernel[1] // 2] * 2

    def step(sketch: Sketch, last: str, number: int) -> str:
        inner = area * width // groups
        weights = sketch.bytes_of_weights(*shape, axis=0) if int8 else sketch.weights(*shape, inner=inner)
        return sketch.add("Conv", [last, weights], pads=pads, group=groups)

    graph = partial(_graph, chained, (1, width, side, side), step, {"int8": int8})
    work = area * width * (width // groups)
    copies = copies_of(side * side * work, work * (1 if int8 else 4))
    return Case(kind, int8, side * side, work, copies, graph, _record(1, width, side, side), ragged)


def _product(rows: int, inner: int, columns: int, heads: int = 4) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("MatMul", [last, f"other{number % 2}"])

    others = ((heads, inner, columns), (heads, columns, inner))
    random = np.random.default_rng(2)
    feed = _record(heads, rows, inner) | {
        f"other{place}": (random.normal(size=shape) / np.sqrt(shape[1])).astype(np.float32) for place, shape in enumerate(others)
    }
    graph = partial(_graph, chained, (heads, rows, inner), step, {"others": others})
    return Case("product", False, heads * rows, inner * columns, _even(copies_of(heads * rows * inner * columns)), graph, feed)


def _sum(size: int, int8: bool) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Add", [last, sketch.dequantised(sketch.quantised("other0")) if int8 else "other0"])

    graph = partial(_graph, chained, (1, size), step, {"int8": int8, "others": ((1, size),)})
    without = partial(_quantised_alone, size) if int8 else None
    feed = _record(1, size) | {"other0": np.zeros((1, size), np.float32)}
    return Case("elementwise", int8, 1, size, copies_of(size * 64), graph, feed, without=without)


def _quantised_alone(size: int, copies: int) -> bytes:
    sketch = Sketch()
    first, other = sketch.quantised("inputs"), sketch.quantised("other0")
    return sketch.finish([("inputs", FLOAT, (1, size)), ("other0", FLOAT, (1, size))], [(first, UINT8), (other, UINT8)], 2)


def _broadcast(rows: int, span: int) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Add", [last, sketch.constant(np.full(span, number, np.float32))])

    graph = partial(_graph, chained, (1, rows, span), step, {})
    return Case("broadcast", False, rows, span, copies_of(rows * span * 256), graph, _record(1, rows, span))


def _selected(rows: int, span: int) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        mask = sketch.constant(np.arange(span) % 7 != number % 7)
        return sketch.add("Where", [mask, last, sketch.constant(np.float32(-number))])

    graph = partial(_graph, chained, (1, rows, span), step, {})
    return Case("select", False, rows, span, copies_of(rows * span * 256), graph, _record(1, rows, span))


def _cut(size: int, int8: bool) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        start, end = (sketch.constant(np.array([at], np.int64)) for at in (number, number + size))
        return sketch.add("Slice", [last, start, end])

    kind = {"taken": UINT8, "made": UINT8} if int8 else {}
    copies = copies_of(size * 64)
    feed = {"inputs": np.ones(size + copies + 1, np.uint8 if int8 else np.float32)}
    return Case("move", int8, 1, size, copies, partial(_graph, beside, (size + copies + 1,), step, kind), feed)


def _turned(name: str, size: int, int8: bool, heads: int = 4, length: int = 16) -> Case:
    # As around attention, and as between channels first and channels last.
    shape = (1, size // (heads * length), heads, length) if name == "turn" else (1, length, heads, size // (heads * length))
    order = [0, 2, 1, 3] if name == "turn" else [0, 2, 3, 1]

    def before(sketch: Sketch, last: str, number: int) -> str:
        if int8:
            return sketch.add("Max", [last, sketch.constant(np.uint8(number))])
        return sketch.add("Add", [last, sketch.constant(np.float32(number))])

    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Transpose", [before(sketch, last, number)], perm=order)

    kind = {"taken": UINT8, "made": UINT8} if int8 else {}
    graph, without = (partial(_graph, beside, shape, made, kind) for made in (step, before))
    feed = {"inputs": np.ones(shape, np.uint8 if int8 else np.float32)}
    return Case(name, int8, 1, size, copies_of(size * 64), graph, feed, without=without)


def _activation(size: int) -> Case:
    graph = partial(_graph, chained, (1, size), lambda sketch, last, number: sketch.add("Gelu", [last]), {})
    # Far from zero, where repeating it neither shrinks the numbers to nothing nor changes what is computed.
    return Case("activation", False, 1, size, copies_of(size * 256), graph, {"inputs": np.full((1, size), 6.0, np.float32)})


def _normalised(rows: int, length: int) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        scale, shift = sketch.constant(np.ones(length, np.float32)), sketch.constant(np.zeros(length, np.float32))
        return sketch.add("LayerNormalization", [last, scale, shift], axis=-1)

    graph = partial(_graph, chained, (rows, length), step, {})
    return Case("normalise", False, rows, length, copies_of(rows * length * 256), graph, _record(rows, length))


def _softmax(rows: int, length: int) -> Case:
    graph = partial(_graph, chained, (rows, length), lambda sketch, last, number: sketch.add("Softmax", [last], axis=-1), {})
    return Case("softmax", False, rows, length, copies_of(rows * length * 256), graph, _record(rows, length))


def _mean(size: int, channels: int = 16) -> Case:
    shape = (1, channels, size // channels)

    def after(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Add", ["inputs", last])

    def step(sketch: Sketch, last: str, number: int) -> str:
        axes = sketch.constant(np.array([2], np.int64))
        return after(sketch, sketch.add("ReduceMean", [last, axes], keepdims=1), number)

    graph, without = (partial(_graph, chained, shape, made, {}) for made in (step, after))
    return Case("reduce", False, 1, size, copies_of(size * 64), graph, _record(*shape), without=without)


def _looked_up(size: int, rows: int = 512) -> Case:
    width = min(64, size)

    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Gather", [sketch.weights(rows, width, inner=1), last])

    feed = {"inputs": np.random.default_rng(3).integers(0, rows, (size // width,)).astype(np.int64)}
    graph = partial(_graph, beside, (size // width,), step, {"taken": INT64, "rank": 2})
    return Case("gather", False, 1, size, copies_of(size * 64), graph, feed)


def _converted(kind: str, size: int) -> Case:
    def step(sketch: Sketch, last: str, number: int) -> str:
        scale = sketch.constant(np.float32(0.01 * (number + 1)))
        name = "QuantizeLinear" if kind == "quantise" else "DequantizeLinear"
        return sketch.add(name, [last, scale, sketch.constant(np.uint8(128))])

    types = {"made": UINT8} if kind == "quantise" else {"taken": UINT8}
    record = _record(1, size)["inputs"]
    feed = {"inputs": record if kind == "quantise" else np.clip(record * 40 + 128, 0, 255).astype(np.uint8)}
    return Case(kind, False, 1, size, copies_of(size * 64), partial(_graph, beside, (1, size), step, types), feed)


def _view(size: int = 64) -> Case:
    def before(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Add", [last, sketch.constant(np.float32(1))])

    def step(sketch: Sketch, last: str, number: int) -> str:
        shape = sketch.constant(np.array([[8, size // 8], [size]][number % 2], np.int64))
        return sketch.add("Reshape", [before(sketch, last, number), shape])

    graph, without = (partial(_graph, chained, (size,), made, {}) for made in (step, before))
    return Case("view", False, 1, 1, 24, graph, {"inputs": np.zeros(size, np.float32)}, without=without)


def _graph(how: Callable[..., bytes], shape: Sequence[int], step: Step, options: dict[str, Any], copies: int) -> bytes:
    return how(copies, shape, step, **options)


def _even(number: int) -> int:
    return number + number % 2
