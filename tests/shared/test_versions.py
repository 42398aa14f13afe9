"""A version starts from what the newest earlier one left, whatever was learnt again, killed or run before."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from shared.errors import CheckpointError
from shared.versions import KEPT, Versions


def versions(folder: Path, name: str = "thing") -> Versions:
    return Versions(folder, name, "remove it, and it is learnt anew")


def content(value: int) -> bytes:
    return save({"value": np.array([value])})


def value_at(store: Versions, version: int) -> int | None:
    found = store.load(version, load)
    return None if found is None else int(found["value"][0])


@given(st.lists(st.integers(0, 12), max_size=12))
def test_any_order_of_rounds_leaves_the_newest_earlier_one(learnt: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        left: dict[int, int] = {}
        for value, version in enumerate(learnt):
            versions(Path(folder)).save(version, content(value))
            left[version + 1] = value
            # A round is a run's own last one: what lies above is of a run before, what lies far below is never asked for again.
            left = {number: kept for number, kept in left.items() if version + 1 - KEPT < number <= version + 1}
        for version in range(15):
            earlier = [number for number in left if number <= version]
            expected = left[max(earlier)] if version and earlier else None
            assert value_at(versions(Path(folder)), version) == expected
        assert len(list(Path(folder).iterdir())) == len(left) <= KEPT


def test_files_are_private_and_those_of_others_are_left_alone(tmp_path: Path) -> None:
    other = versions(tmp_path, "thing-of-another")
    other.save(0, content(7))
    (tmp_path / "thing-v1.safetensors").write_bytes(b"no name of ours")
    (tmp_path / "thing-v00009.safetensors.half").write_bytes(b"a killed process's")
    for version in range(6):
        versions(tmp_path).save(version, content(version))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("thing-v0000?.safetensors")} == {0o600}
    assert value_at(versions(tmp_path), 99) == 5
    versions(tmp_path).clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "thing-of-another-v00001.safetensors",
        "thing-v00009.safetensors.half",
        "thing-v1.safetensors",
    ]
    assert value_at(other, 1) == 7


@given(st.data())
def test_a_cut_file_is_said_and_nothing_is_taken_from_it(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        versions(Path(folder)).save(0, content(1))
        path = Path(folder) / "thing-v00001.safetensors"
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(CheckpointError, match=r"thing-v00001\.safetensors is damaged; remove it, and it is learnt anew"):
            versions(Path(folder)).load(1, load)


def test_a_folder_that_is_not_there_has_no_versions(tmp_path: Path) -> None:
    assert versions(tmp_path / "gone").newest(3) is None
    versions(tmp_path / "gone").clear()


def test_what_is_of_something_else_is_never_started_from_however_long_its_institution_was_away(tmp_path: Path) -> None:
    store = versions(tmp_path)
    store.save(0, content(1))
    store.save(3, content(4))
    for version in range(5, 9):
        assert store.load(version, load, begun=5) is None
    store.save(5, content(6))
    assert store.load(5, load, begun=5) is None, "the first round of the new begins with nothing, also when it is asked again"
    found = store.load(7, load, begun=5)
    assert found is not None
    assert found["value"][0] == 6
