"""Records of a text task as texts again, to look for what they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.data.records import Records
from shared.data.text import read_tokeniser
from shared.task import Task, TextTask


def texts_of(task: Task, records: Records, tokenizer_path: Path | None) -> Sequence[str]:
    """The texts of ``records``, as near as the tokeniser keeps them; empty where the task is not one of texts. Raises as its reader."""
    if not isinstance(task, TextTask):
        return ()
    return read_tokeniser(task, tokenizer_path).decode(records.inputs, task.padding)
