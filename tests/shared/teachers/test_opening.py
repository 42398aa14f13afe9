"""The files at a path decide the kind, and the first that tells wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import CheckpointError
from shared.teachers import forget_others, kind_of, lies_at
from shared.teachers.opening import _KINDS


@pytest.mark.parametrize("name", _KINDS)
def test_a_file_tells_the_kind(tmp_path: Path, name: str) -> None:
    assert not lies_at(tmp_path)
    (tmp_path / name).write_text("")
    assert lies_at(tmp_path)
    assert kind_of(tmp_path) == _KINDS[name][0]


@pytest.mark.parametrize(("name", "kind"), [("a.onnx", "onnx"), ("b.pt2", "exported"), ("c.txt", "boosting")])
def test_a_file_alone_is_a_teacher_too(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("")
    assert lies_at(tmp_path / name)
    assert kind_of(tmp_path / name) == kind


def test_a_new_kind_takes_the_place_of_all_others(tmp_path: Path) -> None:
    for name in _KINDS:
        (tmp_path / name).write_text("")
    assert kind_of(tmp_path) == "network"
    forget_others(tmp_path, "boosting")
    assert [path.name for path in tmp_path.iterdir()] == ["model.txt"]


def test_what_was_looked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"teacher\.json, .*model\.txt lies there"):
        kind_of(tmp_path)
