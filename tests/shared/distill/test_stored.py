"""Targets on disk: every chunk in its place, whatever order it was written in; what a disk changed, cut or swapped is noticed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill import stored
from shared.distill.packing import Field, Layout
from shared.distill.stored import CARD_FILE, MARKER_FILE, SUMS_FILE, Card, changed_chunks, check_sizes, done_chunks, opened, writer
from shared.errors import CheckpointError, ResourceError

LAYOUT = Layout(
    width=3,
    top_k=0,
    tokens=0,
    fields=(Field(name="logits", type="float16", shape=(3,)), Field(name="hidden-000", type="float16", shape=(2, 4))),
)
CARD = Card(records=300, views=2, layout=LAYOUT)
ROWS = 300 * 2


def contents(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {field.name: rng.normal(size=(ROWS, *field.shape)).astype(field.type) for field in LAYOUT.fields}


def fill(folder: Path, order: list[int] | None = None, card: Card = CARD, *, marking: bool = False) -> dict[str, np.ndarray]:
    """Writes the chunks in an order; the marker then says that all are there, or with ``marking`` as many as were written."""
    whole, chunks = contents(), card.chunks()
    done_chunks(folder, card)
    with writer(folder, card) as out:
        for number in order if order is not None else range(len(chunks)):
            view, rows = chunks[number]
            out.write(
                number,
                view,
                rows,
                {name: array[view * card.records + rows] for name, array in whole.items()},
                number + 1 if marking else len(chunks),
            )
    return whole


@contextmanager
def folder_of_targets() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "targets")
        yield Path(folder) / "targets"


@given(st.integers(1, 1000), st.integers(1, 4))
def test_the_chunks_are_every_record_and_view_once_in_the_order_of_the_files(records: int, views: int) -> None:
    card = Card(records=records, views=views, layout=LAYOUT)
    places = np.concatenate([view * records + rows for view, rows in card.chunks()])
    assert places.tolist() == list(range(records * views))
    assert card.bytes == records * views * LAYOUT.bytes


@given(st.permutations(range(len(CARD.chunks()))))
def test_any_order_of_writing_gives_the_same_files(order: list[int]) -> None:
    with folder_of_targets() as first, tempfile.TemporaryDirectory() as other:
        fill(Path(other), order)
        for path in first.iterdir():
            assert path.read_bytes() == (Path(other) / path.name).read_bytes(), path.name


def test_what_was_written_is_read_by_record_and_view(tmp_path: Path) -> None:
    whole, targets = fill(tmp_path), opened(tmp_path, CARD)
    rows = torch.tensor([299, 0, 0, 131])
    for view in range(2):
        found = targets.take(rows, view)
        np.testing.assert_array_equal(found.logits.numpy(), whole["logits"][rows.numpy() + 300 * view].astype(np.float32))
        np.testing.assert_array_equal(found.hidden_states[0].numpy(), whole["hidden-000"][rows.numpy() + 300 * view].astype(np.float32))


@given(st.integers(1, 40))
def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(most: int) -> None:
    real = os.pwrite
    with tempfile.TemporaryDirectory() as folder, folder_of_targets() as expected:
        with patch("shared.distill.stored.os.pwrite", lambda handle, view, offset: real(handle, view[: most * 16], offset)):
            fill(Path(folder))
        assert (Path(folder) / "hidden-000.bin").read_bytes() == (expected / "hidden-000.bin").read_bytes()


def test_a_full_disk_is_said_and_the_marker_says_no_more_than_is_there(tmp_path: Path) -> None:
    real = os.pwrite

    def filling(handle: int, view: memoryview, offset: int) -> int:
        # Room for the first chunk and nothing after it.
        if offset >= 128 * LAYOUT.fields[0].bytes:
            raise OSError(28, "No space left on device")
        return real(handle, view, offset)

    with (
        patch("shared.distill.stored.os.pwrite", filling),
        pytest.raises(ResourceError, match=r"cannot write the targets in .*: No space left"),
    ):
        fill(tmp_path, marking=True)
    assert done_chunks(tmp_path, CARD) == 1
    check_sizes(tmp_path, CARD, 1)
    assert changed_chunks(tmp_path, CARD, 1) == []


@given(st.data())
def test_a_flipped_bit_is_told_by_the_chunk_that_it_is_in(data: st.DataObject) -> None:
    with folder_of_targets() as folder:
        assert changed_chunks(folder, CARD, len(CARD.chunks())) == []
        field = data.draw(st.sampled_from(LAYOUT.fields))
        path = folder / f"{field.name}.bin"
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        row = place // field.bytes
        hit = [number for number, (view, rows) in enumerate(CARD.chunks()) if row - 300 * view in rows]
        assert changed_chunks(folder, CARD, len(CARD.chunks())) == hit
        # What is not finished is not looked at.
        assert changed_chunks(folder, CARD, hit[0]) == []


def test_two_chunks_that_changed_places_are_both_noticed(tmp_path: Path) -> None:
    fill(tmp_path)
    for field in LAYOUT.fields:
        path, size = tmp_path / f"{field.name}.bin", 128 * field.bytes
        content = path.read_bytes()
        path.write_bytes(content[size : 2 * size] + content[:size] + content[2 * size :])
    assert changed_chunks(tmp_path, CARD, len(CARD.chunks())) == [0, 1]


@given(st.sampled_from(["logits.bin", "hidden-000.bin", SUMS_FILE]), st.integers(1, 200), st.booleans())
def test_a_file_that_was_cut_or_grew_is_refused(name: str, count: int, grows: bool) -> None:
    with folder_of_targets() as folder:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + bytes(count) if grows else content[:-count])
        with pytest.raises(CheckpointError, match="are damaged; remove the folder"):
            opened(folder, CARD)


@pytest.mark.parametrize("name", ["logits.bin", SUMS_FILE])
def test_a_file_that_is_gone_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match="are damaged"):
        opened(tmp_path, CARD)


@pytest.mark.parametrize(
    "other",
    [
        CARD.model_copy(update={"records": 299}),
        CARD.model_copy(update={"views": 3}),
        CARD.model_copy(update={"layout": LAYOUT.model_copy(update={"width": 4})}),
    ],
)
def test_targets_of_another_card_are_not_taken(tmp_path: Path, other: Card) -> None:
    fill(tmp_path)
    with pytest.raises(CheckpointError, match="are damaged"):
        done_chunks(tmp_path, other)
    assert done_chunks(tmp_path, CARD) == len(CARD.chunks())


@pytest.mark.parametrize("name", [CARD_FILE, MARKER_FILE])
@pytest.mark.parametrize("content", [b"", b"{}", b'{"chunks":-1}', b"\xff", b'{"chunks":1,"more":2}'])
def test_a_card_or_a_marker_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    fill(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="are damaged"):
        done_chunks(tmp_path, CARD)


def test_more_chunks_than_there_are_is_no_progress(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(CheckpointError):
        check_sizes(tmp_path, CARD, len(CARD.chunks()) + 1)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match=r"cannot make .*; choose another folder"):
        done_chunks(tmp_path / "file" / "targets", CARD)


def test_all_of_it_is_private(tmp_path: Path) -> None:
    fill(tmp_path / "targets")
    assert (tmp_path / "targets").stat().st_mode & 0o777 == stored.PRIVATE_FOLDER
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "targets").iterdir()} == {0o600}
