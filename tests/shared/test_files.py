"""A file is whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shared.errors import MissingFileError, ResourceError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic


def test_writes_replace_the_whole_file_and_leave_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomic(path, b"first, and longer")
    write_atomic(path, b"second", mode=PRIVATE_MODE)
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == PRIVATE_MODE
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ResourceError, match="No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"cannot read the roster .*gone: No such file"):
        read_bytes(tmp_path / "gone", what="roster")
