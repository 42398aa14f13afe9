"""A task's heads part its labels, and a file that says otherwise is one clear sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.task import Head, ImageTask, Task

TABLE = {"family": "tabular", "label": "y", "columns": [{"name": "age"}]}
TEXT = {"family": "text", "tokenizer_sha256": "0" * 64, "vocabulary": 20}
IMAGE = {"family": "image", "size": 8}
LABELS = ("a", "b", "c", "d")
HEADS = [{"name": "one", "labels": ("a", "b")}, {"name": "two", "labels": ("c", "d"), "strategy": "surface", "weight": 2.0}]
TASK: TypeAdapter[Task] = TypeAdapter(Task)


@pytest.mark.parametrize("family", [TABLE, TEXT, IMAGE])
def test_every_family_may_have_heads_and_needs_none(family: dict[str, Any]) -> None:
    task = TASK.validate_python({**family, "labels": LABELS, "heads": HEADS})
    assert task.heads == (Head(name="one", labels=("a", "b")), Head(name="two", labels=("c", "d"), strategy="surface", weight=2.0))
    assert TASK.validate_json(task.canonical()) == task
    assert TASK.validate_python({**family, "labels": LABELS}).heads == ()


@pytest.mark.parametrize(
    ("labels", "heads", "sentence"),
    [
        (LABELS, HEADS[:1], "in the same order"),
        (LABELS, HEADS[::-1], "in the same order"),
        (LABELS, [HEADS[0], {**HEADS[1], "name": "one"}], "two heads have the name 'one'"),
        (("a", "b", "a", "b"), [HEADS[0], {"name": "two", "labels": ("a", "b")}], "unique"),
        (LABELS, [{"name": "one", "labels": ("a",)}, {"name": "two", "labels": ("b", "c", "d")}], "at least 2"),
        (LABELS, [HEADS[0], {**HEADS[1], "weight": 0.0}], "greater than 0"),
        (LABELS, [HEADS[0], {**HEADS[1], "strategy": "depth"}], "structure"),
    ],
)
def test_heads_that_do_not_part_the_labels_are_refused(labels: Any, heads: Any, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ImageTask(family="image", labels=labels, size=8, heads=heads)
