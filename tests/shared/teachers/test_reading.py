"""Padding comes last and is masked; lengths are those of the task or of the model, whichever is less."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.teachers.reading import Reader
from tests.support.teachers import TEXT, make_reader, texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reader(tmp_path_factory.mktemp("reader"))


def config(**more: Any) -> SimpleNamespace:
    return SimpleNamespace(pad_token_id=None, vocab_size=40, **more)


@pytest.mark.parametrize(("model", "most"), [(5, 5), (100, 12)])
def test_a_text_is_cut_to_what_task_and_model_take(folder: Path, model: int, most: int) -> None:
    found = Reader(folder, TEXT, config(max_position_embeddings=model)).tokens(texts(8))
    assert [len(one) for one in found] == [min(1 + 2 * place, most) for place in range(8)]


def test_the_model_is_told_which_token_is_padding(folder: Path) -> None:
    told = config()
    assert Reader(folder, TEXT, told).padding == told.pad_token_id == 0


@given(st.lists(st.lists(st.integers(0, 39), min_size=1, max_size=9), min_size=1, max_size=5))
def test_every_token_is_where_it_was_and_padding_behind(folder: Path, tokens: list[list[int]]) -> None:
    reader = Reader(folder, TEXT, config())
    ids, mask = reader.padded(tokens)
    assert ids.shape == mask.shape == (len(tokens), max(len(one) for one in tokens))
    assert [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)] == tokens
    assert (ids[~mask] == reader.padding).all()
    assert (mask.long().diff(dim=1) <= 0).all()
    assert ids.dtype == torch.int64
