"""The four files of an artifact (five, of texts), from a folder or from its ``.tar.zst``: exactly these, plain, bounded, no path tricks.

Needs only the standard library; ``zstandard`` is asked for when an archive is, and a folder never needs it.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.errors import ArtifactError, MissingFileError

MODEL, MANIFEST, SIGNATURE, CARD = "model.onnx", "manifest.json", "manifest.sig", "card.md"
TOKENIZER = "tokenizer.json"
"""Of text tasks only."""
LIMITS = MappingProxyType({CARD: 2**20, MANIFEST: 2**24, SIGNATURE: 64, MODEL: 2**31 - 1, TOKENIZER: 2**26})
"""The names of an artifact's files and the most bytes that each may have."""
ARCHIVE_SUFFIX = ".tar.zst"
_SMALL = 2**20
_MOST_RATIO = 100
"""An archive may unpack to 1 MiB, and beyond that to so many times its own size."""
_BLOCK = 512
_OCTAL = re.compile(rb"[0-7]{11}")


def read_files(path: Path) -> dict[str, bytes]:
    """The files by name, from a folder or a ``.tar.zst``.

    Raises :class:`MissingFileError` where there is nothing, :class:`ArtifactError` for anything but its plain files.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise MissingFileError(f"there is no artifact at {path}; give its folder or its {ARCHIVE_SUFFIX} file")
    return unpack(path.read_bytes())


def pack(files: Mapping[str, bytes]) -> bytes:
    """A ``.tar.zst`` of the files: sorted, without times or owners, so that equal files give equal bytes."""
    content: bytes = _zstandard().ZstdCompressor(level=19, write_checksum=True, write_content_size=True).compress(_tar(files))
    return content


def unpack(content: bytes) -> dict[str, bytes]:
    """The files of a ``.tar.zst`` in memory; nothing is written. Raises :class:`ArtifactError` for any oddity."""
    zstandard = _zstandard()
    try:
        # What a small archive claims to become is bounded before any of it is unpacked.
        if not 0 <= zstandard.frame_content_size(content) <= _SMALL + _MOST_RATIO * len(content):
            raise ArtifactError("the archive does not say how large it is, or claims too much; fetch it again")
        # In one piece: a reader in pieces compares with the claim at the end, when a gigabyte has come out of a few bytes.
        tar = zstandard.ZstdDecompressor().decompress(content, allow_extra_data=False)
        files = _untar(tar)
    except (zstandard.ZstdError, UnicodeError) as error:
        raise ArtifactError("the archive is damaged; fetch it again") from error
    if _tar(files) != tar:
        raise ArtifactError("the archive is not packed as fedstill packs it; fetch it again")
    return files


def _untar(tar: bytes) -> dict[str, bytes]:
    # Only what _tar writes is known here, and the caller compares with what it would write. A library that reads every
    # kind of tar (sparse, extended, with sizes below zero) is no reader for what a stranger packed.
    files: dict[str, bytes] = {}
    place = 0
    while tar[place : place + 1] not in (b"", b"\0"):
        header, place = tar[place : place + _BLOCK], place + _BLOCK
        name, size, kind = header[:100].rstrip(b"\0").decode(), header[124:135], header[156:157]
        if kind != b"0" or name in files:
            raise ArtifactError(f"the archive holds {name!r} twice or not as a plain file; do not use it")
        if not _OCTAL.fullmatch(size):
            raise ArtifactError("the archive is damaged; fetch it again")
        _check_entry(name, int(size, 8))
        files[name] = tar[place : place + int(size, 8)]
        place += -(-int(size, 8) // _BLOCK) * _BLOCK
    _check_complete(files)
    return files


def _read_folder(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in sorted(folder.iterdir()):
        status = entry.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{entry.name!r} in {folder} is not a plain file; an artifact holds no links and no folders")
        _check_entry(entry.name, status.st_size)
        files[entry.name] = _read_plain(entry)
    _check_complete(files)
    return files


def _read_plain(path: Path) -> bytes:
    # The file may be swapped for a link after it was looked at: the open itself must refuse one.
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            return file.read(LIMITS[path.name] + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}; check its permissions") from error


def _check_entry(name: str, size: int) -> None:
    if name not in LIMITS:
        raise ArtifactError(f"{name!r} does not belong to an artifact; it holds {', '.join(LIMITS)} and nothing else")
    if size > LIMITS[name]:
        raise ArtifactError(f"{name} has {size} bytes, more than the {LIMITS[name]} that it may have")


def _check_complete(files: Mapping[str, bytes]) -> None:
    missing = sorted(set(LIMITS) - {TOKENIZER} - set(files))
    if missing:
        raise ArtifactError(f"the artifact has no {missing[0]}; fetch it again")


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise ArtifactError(f"reading a {ARCHIVE_SUFFIX} needs the package zstandard; install it, or unpack the archive first") from error
    return zstandard
