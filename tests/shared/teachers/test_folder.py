"""A folder takes its place whole, or the old one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import ResourceError
from shared.teachers.folder import whole_folder


def test_a_new_folder_takes_the_old_ones_place_and_is_private(tmp_path: Path) -> None:
    target = tmp_path / "home" / "teacher"
    for content in ("first", "second"):
        with whole_folder(target) as beside:
            (beside / f"{content}.txt").write_text(content)
        assert [path.name for path in target.iterdir()] == [f"{content}.txt"]
        assert (target / f"{content}.txt").stat().st_mode & 0o777 == 0o600
        assert target.stat().st_mode & 0o777 == 0o700
        assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_folder_and_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "teacher"
    with whole_folder(target) as beside:
        (beside / "old.txt").write_text("old")

    def fail() -> None:
        with whole_folder(target) as beside:
            (beside / "new.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in target.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="choose another folder"), whole_folder(tmp_path / "file" / "teacher"):
        pass
