"""Texts of a CSV file as records: tokens for the student, and the strings themselves for a teacher with a tokeniser of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.data.records import Records
from shared.data.table import Table, read_labels
from shared.errors import ConfigError, DataError
from shared.files import read_bytes
from shared.task import TextTask
from shared.tokenise import FILE, Tokeniser, checked_tokeniser

LONGEST = 4096
"""Characters that are kept of a text for a teacher with a tokeniser of its own. All rows take the room of the longest."""


def tokeniser_file(path: Path) -> Path:
    """The file that ``path`` means: itself, or ``tokenizer.json`` within it if it is a folder."""
    return path / FILE if path.is_dir() else path


def read_tokeniser(task: TextTask, path: Path | None) -> Tokeniser:
    """The task's tokeniser from ``tokenizer_path``.

    Raises :class:`ConfigError` where none is named or it is another than the task's, :class:`MissingFileError` where it is not there.
    """
    if path is None:
        raise ConfigError(f"a text task needs its tokeniser: set tokenizer_path to the {FILE} with SHA-256 {task.tokenizer_sha256}")
    file = tokeniser_file(path)
    return checked_tokeniser(read_bytes(file, what="tokeniser"), task.tokenizer_sha256, task.vocabulary, where=str(file))


def read_texts(table: Table, task: TextTask, tokeniser: Tokeniser, *, missing: frozenset[str], unlabelled: bool = False) -> Records:
    """The rows as records: ``inputs`` int32 ``(rows, max_tokens)``, ``labels`` int64, -1 for none if ``unlabelled`` allows it.

    Of each text the first :data:`LONGEST` characters are kept beside its tokens.
    Raises :class:`MissingColumnError`, :class:`DataError` for an empty text, :class:`LabelError` for a label outside the task's.
    """
    inputs, texts = to_tokens(table, task, tokeniser)
    labels = read_labels(table, task.label, task.labels, missing if unlabelled else frozenset())
    return Records(inputs, labels, np.array([text[:LONGEST] for text in texts], dtype=np.str_))


def to_tokens(table: Table, task: TextTask, tokeniser: Tokeniser) -> tuple[NDArray[np.int32], list[str]]:
    """The rows' tokens int32 ``(rows, max_tokens)`` and their texts; raises as :func:`read_texts` does of them. No label is looked at."""
    texts = []
    for line, text in table.cells(task.text):
        if not text:
            raise DataError(f"{table.place(line, task.text)} is empty; give the row a text or leave it out")
        texts.append(text)
    return tokeniser.encode(texts, max_tokens=task.max_tokens, padding=task.padding), texts
