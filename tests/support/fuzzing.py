"""A small fuzzer: the same mutations of valid messages in every run, and a bound on the memory that reading them may take.

It does what a coverage-guided fuzzer's mutators do, without its feedback and so at the speed of the parser: 20 000 inputs take
seconds. What a parser may raise is said beforehand; whatever else comes out fails the test and shows the input.
"""

from __future__ import annotations

import random
import re
import resource
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HUGE = tuple(
    number.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for number in (2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1))
    for order in ("little", "big")
)
"""Lengths that nobody has: the largest of each size, signed and not, in both orders of bytes."""
VARINTS = (
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff" * 9 + b"\x01",
    b"\x80" * 30,
)
"""Protobuf's lengths and numbers: 2^31 - 1, 2^32 - 1, 2^63, 2^64 - 1, and one that never ends."""
TOKENS = (
    *(b"null", b"true", b"[]", b"{}", b'""', b"0", b"-1", b"1e999", b"-1e-999", b"NaN", b"Infinity", b"9" * 30, b"9" * 5000, b"0.1e1"),
    *(b'"\\ud800"', b'"\\u0000"', b'"\xc3\x28"', b'"A"', b'"' + b"A" * 3000 + b'"', b"[" * 3000, b'{"a":' * 3000, b'"../../x"'),
)
"""What a JSON reader may stumble over: numbers without an end, lone surrogates, nesting."""
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|null|true|false')

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def flip(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """Some bits turned over."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """A stretch of random bytes."""
    start, end = _stretch(rng, content)
    return content[:start] + rng.randbytes(end - start) + content[end:]


def cut(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """The beginning alone, or a stretch taken out."""
    start, end = _stretch(rng, content)
    return content[:start] if rng.random() < 0.5 else content[:start] + content[end:]


def repeat(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """A stretch that stands there several times."""
    start, end = _stretch(rng, content)
    return content[:end] + content[start:end] * rng.choice((1, 1, 2, 50)) + content[end:]


def splice(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """The beginning of one message and the end of another."""
    other = rng.choice(corpus)
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def inflate(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """A length or number that is far too large, over what stands there or between."""
    start, lie = rng.randrange(len(content) + 1), rng.choice(HUGE + VARINTS)
    return content[:start] + lie + content[start + rng.choice((0, 1, len(lie))) :]


def reword(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """One value of a text replaced by one that a reader may stumble over."""
    values = list(_VALUE.finditer(content))
    if not values:
        return inflate(rng, content, corpus)
    chosen = rng.choice(values)
    return content[: chosen.start()] + rng.choice(TOKENS) + content[chosen.end() :]


def garbage(rng: random.Random, content: bytes, corpus: Sequence[bytes]) -> bytes:
    """Random bytes alone."""
    return rng.randbytes(rng.randrange(2 * len(content) + 2))


MUTATIONS: tuple[Mutation, ...] = (flip, flip, overwrite, cut, repeat, splice, inflate, reword, garbage)


def mutated(corpus: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """``count`` inputs made of a corpus of valid messages, one to three mutations each; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        content = rng.choice(corpus)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            content = rng.choice(MUTATIONS)(rng, content or b"\0", corpus)
        yield content


def fuzz(parse: Callable[[bytes], object], inputs: Iterator[bytes], allowed: tuple[type[Exception], ...]) -> Counter[str]:
    """Parses every input and counts how that ended, by the name of the error and ``"read"``.

    Any error that is not ``allowed`` is raised with the input as a note.
    """
    ends: Counter[str] = Counter()
    for content in inputs:
        try:
            parse(content)
        except allowed as error:
            ends[type(error).__name__] += 1
        except BaseException as error:
            error.add_note(f"the input was {content[:2000]!r}, {len(content)} bytes")
            raise
        else:
            ends["read"] += 1
    return ends


@contextmanager
def bounded_memory(most_bytes: int) -> Iterator[None]:
    """Fails if more than ``most_bytes`` are taken inside: by Python's own count, or by the process's largest resident size.

    The interpreter's count misses what C++ takes for itself; the resident size misses what a system short of memory took away
    meanwhile from elsewhere in the process. So the larger of the two counts. Where the system can, its record of the largest size
    is first set back to what is in use now. Where it cannot, memory is taken up to that record, for below an older and higher
    peak nothing would be seen to grow.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    filled = b"x" * max(0, _peak() - _resident())
    before = _peak()
    tracemalloc.start()
    try:
        yield
        counted = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    grown = max(_peak() - before, counted)
    del filled
    assert grown <= most_bytes, f"reading took {grown / 2**20:.0f} MiB more than before, {most_bytes / 2**20:.0f} are allowed"


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if (found := _status("VmHWM")) is None else found


def _resident() -> int:
    return _peak() if (found := _status("VmRSS")) is None else found


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _stretch(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice((1, 2, 4, 16, len(content))))
