"""The library is quiet while it loads, and as loud as before afterwards; nothing goes over the network."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers.utils import logging

from shared.errors import CheckpointError
from shared.teachers.loading import load_classifier, load_tokenizer, quiet
from tests.support.teachers import make_reader


def test_quiet_is_for_a_while_even_if_it_fails() -> None:
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()

    def fail() -> None:
        with quiet():
            assert not logging.is_progress_bar_enabled()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)


def test_loading_says_nothing_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = make_reader(tmp_path)
    capfd.readouterr()
    assert not load_classifier(folder, "text").training
    load_tokenizer(folder)
    assert capfd.readouterr() == ("", "")


def test_a_name_of_a_hub_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load_tokenizer(tmp_path / "bert-base-uncased")
