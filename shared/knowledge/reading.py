"""What all readers of knowledge share: files of bounded size, and bad rows that are counted and shown, never dropped in silence."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import KnowledgeError
from shared.files import read_bytes
from shared.knowledge.names import MAX_NAME, is_name
from shared.knowledge.triples import LARGEST_WEIGHT, LEAST_WEIGHT, Graph, Row, graph_of

MAX_BYTES = 1 << 30
"""No larger file is read, and no packed one is unpacked further."""
SHOWN = 20
"""How many bad rows keep their reason unless a caller asks for more; the others are only counted."""
LATEST = (1 << 63) - 1
"""The last date that a graph can hold, whatever its unit; the first is as far before 0."""


@dataclass(frozen=True)
class BadRow:
    """One row that is no triple: where it stands and why. ``line`` counts from 1."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"


@dataclass(frozen=True)
class Reading:
    """A graph and what became of the rows it was read from: ``rows`` seen, ``repeated`` triples that stood already, ``bad`` rows
    that are no triples, the first of which are in ``shown``.

    Law: ``rows == len(graph) + repeated + bad``.
    """

    graph: Graph
    rows: int
    repeated: int
    bad: int
    shown: tuple[BadRow, ...]


class Tally:
    """Collects the rows of a file; what cannot be a triple is counted with its place."""

    def __init__(self, path: Path, shown: int = SHOWN) -> None:
        self.path, self.good, self.count, self._bad, self._shown = path, list[Row](), 0, 0, list[BadRow]()
        self.times, self._most = list[int](), shown

    def bad(self, line: int, reason: str) -> None:
        """One row that is no triple."""
        self.count += 1
        self._bad += 1
        if len(self._shown) < self._most:
            self._shown.append(BadRow(self.path, line, reason))

    def add(self, line: int, head: str, relation: str, tail: str, weight: float = 1.0, time: int = 0) -> None:
        """One row, as a triple if its names, weight and time can be one."""
        row = (head.strip(), relation.strip(), tail.strip(), weight)
        for what, name in zip(("head", "relation", "tail"), row[:3], strict=True):
            if not is_name(name):
                return self.bad(line, f"its {what} is empty, longer than {MAX_NAME} characters or not printable")
        if not (LEAST_WEIGHT <= weight <= LARGEST_WEIGHT):
            return self.bad(line, f"its weight {weight:g} is not above 0, or is nothing that float32 holds")
        if abs(time) > LATEST:
            return self.bad(line, f"its time is more than {LATEST} from 0")
        self.count += 1
        self.good.append(row)
        self.times.append(time)
        return None

    def reading(self, graph: Graph) -> Reading:
        """What was read, around the graph that was made of :attr:`good`. Raises :class:`KnowledgeError` where nothing was good."""
        if not self.good:
            first = f"; {self._shown[0]}" if self._shown else ""
            raise KnowledgeError(f"{self.path} has no triple in {self.count} rows{first}; each row needs head, relation and tail")
        return Reading(graph, self.count, len(self.good) - len(graph), self._bad, tuple(self._shown))


def merged(readings: Sequence[Reading]) -> Reading:
    """Several readings as one: the graph of all triples, where one that several have keeps its largest weight; the law still holds.

    Raises :class:`KnowledgeError` where some have dates and others have none.
    """
    if len(readings) == 1:
        return readings[0]
    graphs = [reading.graph for reading in readings]
    dates = [graph.times for graph in graphs if graph.times is not None]
    if dates and len(dates) < len(graphs):
        raise KnowledgeError("some of the graphs have dates and others have none; join what the dated ones hold before one date")
    times = [time for part in dates for time in part.tolist()] if dates else None
    graph = graph_of((row for one in graphs for row in one.rows()), (name for one in graphs for name in one.entities), times)
    rows, bad = sum(reading.rows for reading in readings), sum(reading.bad for reading in readings)
    return Reading(graph, rows, rows - bad - len(graph), bad, tuple(row for reading in readings for row in reading.shown))


def bounded_text(path: Path, *, what: str, limit: int = MAX_BYTES) -> str:
    """The UTF-8 text of ``path``, unpacked where its name ends in ``.gz``.

    Raises :class:`MissingFileError`, and :class:`KnowledgeError` for more than ``limit`` bytes, for what is no gzip, and for
    bytes that are no text: an archive, a picture, a database.
    """
    if path.is_file() and path.stat().st_size > limit:
        raise KnowledgeError(f"{path} is larger than {limit >> 20} MiB; split it or leave relations out")
    content = read_bytes(path, what=what)
    if path.suffix.lower() == ".gz":
        content = _unpacked(path, content, limit)
    if b"\0" in content:
        raise KnowledgeError(f"{path} holds a zero byte and is no text; export the {what} as text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _unpacked(path: Path, content: bytes, limit: int) -> bytes:
    # GzipFile reads all members of a file: joined files have several, and so have those of block compressors.
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            whole = file.read(limit + 1)
    except EOFError:
        raise KnowledgeError(f"{path} ends in the middle of its gzip stream; fetch it again") from None
    except (OSError, zlib.error) as error:
        raise KnowledgeError(f"{path} is not gzip: {error}; unpack it or fetch it again") from None
    if len(whole) > limit:
        raise KnowledgeError(f"{path} unpacks to more than {limit >> 20} MiB; split it or leave relations out")
    return whole


def lines_of(text: str) -> Iterable[tuple[int, str]]:
    """The lines of ``text`` with their numbers from 1, without empty ones and without those that begin with ``#``."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line.strip() and not line.startswith("#"):
            yield number, line
