"""Targets in a folder: one plain file a tensor, mapped into memory, written chunk by chunk so that a kill costs one chunk at most.

Beside each chunk its CRC-32 is kept, so that what a disk changed is made again and never learnt from.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Bounded
from pydantic import ValidationError
from torch import Tensor

from shared.distill.packing import Layout, unpacked
from shared.errors import CheckpointError, MissingFileError, ResourceError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.frozen import Frozen
from shared.models.features import Features

CARD_FILE, MARKER_FILE, SUMS_FILE = "card.json", "progress.json", "checksums.crc"
PRIVATE_FOLDER = 0o700
CHUNK = 128
"""Records between two markers."""
FORMAT: Literal["fedstill-targets-2"] = "fedstill-targets-2"
SUM_BYTES = 4
"""Of a chunk's CRC-32 in ``checksums.crc``, one chunk's after the other's, little-endian."""


class Card(Frozen):
    """``card.json``: what lies in the folder. Row ``view * records + record`` of each file is that record's."""

    format: Literal["fedstill-targets-2"] = FORMAT
    records: int = Bounded(ge=1)
    views: int = Bounded(ge=1)
    layout: Layout

    @property
    def bytes(self) -> int:
        """Bytes of all files together."""
        return self.layout.bytes * self.records * self.views

    def chunks(self) -> list[tuple[int, NDArray[np.int64]]]:
        """View and rows of each chunk, in the order of the files."""
        starts = range(0, self.records, CHUNK)
        return [(view, np.arange(start, min(start + CHUNK, self.records))) for view in range(self.views) for start in starts]


class Marker(Frozen):
    """``progress.json``: how many chunks are safely on disk."""

    chunks: int = Bounded(ge=0)


@dataclass(frozen=True)
class StoredTargets:
    """Targets of every record and view, read from the disk as they are needed."""

    card: Card
    files: dict[str, NDArray[Any]]

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """Float32 features of the records at ``rows``, int64 ``(batch,)``, as ``view`` in ``0..views - 1`` shows them."""
        places = rows.numpy() + view * self.card.records
        return unpacked({name: file[places] for name, file in self.files.items()}, self.card.layout)


def done_chunks(folder: Path, card: Card) -> int:
    """How many chunks of ``card`` the folder holds; makes the folder and the card if they are missing.

    Raises :class:`CheckpointError` where they are damaged, and :class:`ResourceError` where the disk says no.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    except OSError as error:
        raise ResourceError(f"cannot make {folder}: {error.strerror}; choose another folder or free some space") from error
    if not (folder / CARD_FILE).exists():
        write_atomic(folder / CARD_FILE, card.canonical(), mode=PRIVATE_MODE)
        return 0
    try:
        if Card.parse(read_bytes(folder / CARD_FILE, what="targets' card")) != card:
            raise damaged(folder)
        return Marker.parse(read_bytes(folder / MARKER_FILE, what="targets' progress")).chunks
    except MissingFileError:
        return 0
    except ValidationError as error:
        raise damaged(folder) from error


def damaged(folder: Path) -> CheckpointError:
    """The one error for anything in the folder that is not as it was written."""
    return CheckpointError(f"the teacher's targets in {folder} are damaged; remove the folder, and they are made again")


@contextmanager
def writer(folder: Path, card: Card) -> Iterator[ChunkWriter]:
    """Opens every file of the folder for writing, private to the owner."""
    with ExitStack() as stack:
        handles = {}
        try:
            for field in card.layout.fields:
                handles[field.name] = os.open(_path(folder, field.name), os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
                stack.callback(os.close, handles[field.name])
            sums = os.open(folder / SUMS_FILE, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
            stack.callback(os.close, sums)
            yield ChunkWriter(folder, card, handles, sums)
        except OSError as error:
            raise ResourceError(f"cannot write the targets in {folder}: {error.strerror}; free some space and start again") from error


@dataclass(frozen=True)
class ChunkWriter:
    """Writes chunks with their checksums; the marker moves only when both are on disk."""

    folder: Path
    card: Card
    handles: dict[str, int]
    sums: int

    def write(self, number: int, view: int, rows: NDArray[np.int64], arrays: dict[str, NDArray[Any]], done: int) -> None:
        """Writes chunk ``number``, the arrays of ``rows`` in ``view``, where it belongs, and then says that ``done`` are there."""
        first, checksum = view * self.card.records + int(rows[0]), 0
        for field in self.card.layout.fields:
            content = np.ascontiguousarray(arrays[field.name]).tobytes()
            checksum = zlib.crc32(content, checksum)
            _write_at(self.handles[field.name], content, first * field.bytes)
            os.fsync(self.handles[field.name])
        _write_at(self.sums, checksum.to_bytes(SUM_BYTES, "little"), number * SUM_BYTES)
        os.fsync(self.sums)
        write_atomic(self.folder / MARKER_FILE, Marker(chunks=done).canonical(), mode=PRIVATE_MODE)


def check_sizes(folder: Path, card: Card, chunks: int) -> None:
    """Raises :class:`CheckpointError` where a file is shorter than ``chunks`` chunks, or longer than all, and for more chunks than all."""
    if chunks > len(card.chunks()):
        raise damaged(folder)
    rows = sum(len(part) for _, part in card.chunks()[:chunks])
    for field in card.layout.fields:
        path = _path(folder, field.name)
        size = path.stat().st_size if path.exists() else 0
        if not rows * field.bytes <= size <= card.records * card.views * field.bytes:
            raise damaged(folder)
    sums = folder / SUMS_FILE
    if not chunks * SUM_BYTES <= (sums.stat().st_size if sums.exists() else 0) <= len(card.chunks()) * SUM_BYTES:
        raise damaged(folder)


def changed_chunks(folder: Path, card: Card, done: int) -> list[int]:
    """Which of the first ``done`` chunks are not as they were written, by their CRC-32 over all fields; reads all of them once.

    It finds what disks and copies do; a change is missed with odds of 2^-32. Whoever may write the folder can write a checksum too: this
    is no signature. Sizes must have been checked.
    """
    if not done:
        return []
    kept = np.fromfile(folder / SUMS_FILE, "<u4", count=done)
    files = _mapped(folder, card, sum(len(rows) for _, rows in card.chunks()[:done]))
    found = []
    for number, (view, rows) in enumerate(card.chunks()[:done]):
        first, checksum = view * card.records + int(rows[0]), 0
        for field in card.layout.fields:
            checksum = zlib.crc32(files[field.name][first : first + len(rows)].data, checksum)
        if checksum != kept[number]:
            found.append(number)
    return found


def opened(folder: Path, card: Card) -> StoredTargets:
    """The finished targets of a folder, mapped. Raises :class:`CheckpointError` where a file has not its size."""
    check_sizes(folder, card, len(card.chunks()))
    return StoredTargets(card, _mapped(folder, card, card.records * card.views))


def _mapped(folder: Path, card: Card, rows: int) -> dict[str, NDArray[Any]]:
    # Plain arrays over the mapping: what is taken out of them is a copy.
    return {
        field.name: np.asarray(np.memmap(_path(folder, field.name), dtype=field.type, mode="r", shape=(rows, *field.shape)))
        for field in card.layout.fields
    }


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.bin"


def _write_at(handle: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
