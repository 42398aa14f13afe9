"""Views of records: the same record slightly changed, from a stored seed, so that teacher and student see the same change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data.records import Records
from shared.data.seeds import generator
from shared.task import ImageTask, TabularTask, Task, TextTask

VERSION = 1
"""Changes with what a view is: kept targets of another version are made again."""
HIDDEN_SHARE = 0.1
"""Share of a table's cells that a view leaves out, and of a text's tokens that it replaces."""
LARGEST_SHIFT = 1 / 8
"""An image moves by at most this part of its side."""
LARGEST_CONTRAST, LARGEST_BRIGHTNESS = 0.2, 0.1
"""Contrast changes by at most this factor around the image's mean, brightness by at most this part of white."""


@dataclass(frozen=True)
class Views:
    """Which view of the records each epoch sees: ``(first + epoch) % count``; ``first`` goes on where the last round ended."""

    task: Task
    count: int = 1
    seed: int = 0
    first: int = 0

    def of(self, epoch: int) -> int:
        """The view of an epoch, counted from 0."""
        return (self.first + epoch) % self.count

    def records(self, records: Records, rows: NDArray[np.int64], view: int) -> Records:
        """The records at ``rows`` as ``view`` shows them.

        Texts stay as they are: a teacher that has a tokeniser of its own reads the whole text of a record whose tokens the
        student sees in part.
        """
        texts = None if records.texts is None else records.texts[rows]
        return Records(self.inputs(records.inputs, rows, view), records.labels[rows], texts)

    def inputs(self, inputs: NDArray[Any], rows: NDArray[np.int64], view: int) -> NDArray[Any]:
        """The raw inputs of the records at ``rows``, out of those of all records, as ``view`` shows them."""
        return augmented(self.task, inputs[rows], rows, view, self.seed)


def augmented(task: Task, inputs: NDArray[Any], rows: Sequence[int] | NDArray[np.int64], view: int, seed: int) -> NDArray[Any]:
    """The raw inputs ``(batch, ...)`` of the records at ``rows`` as a view shows them; same shape and type, never the same memory.

    View 0 is the record as it is. Any other is a function of ``seed``, the record's row and the view alone, whatever
    the batch. Images are mirrored, moved (the edge is repeated), and changed in contrast and brightness; of tables a share of
    the cells is missing; of texts a share of the tokens is another, never padding and never in place of padding.
    """
    changed = inputs.copy()
    if view == 0:
        return changed
    change = _change(task)
    for place, row in enumerate(rows):
        changed[place] = change(inputs[place], generator(seed, "view", int(row), view))
    return changed


def substitute(task: TextTask) -> int:
    """The token that stands for a hidden one: 1, which most vocabularies keep for what they do not know, or 0 if that is padding."""
    return 1 if task.padding != 1 else 0


def _change(task: Task) -> Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]:
    match task:
        case ImageTask():
            return _image
        case TabularTask():
            return _row
        case TextTask():
            return lambda tokens, rng: _tokens(tokens, rng, task)


def _image(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    # The draws come in a fixed order, so that one kind of change never moves another's.
    flip, reach = rng.random() < 0.5, max(1, round(image.shape[0] * LARGEST_SHIFT))
    down, right = (int(step) for step in rng.integers(-reach, reach + 1, 2))
    contrast, brightness = rng.uniform(-1, 1, 2) * (LARGEST_CONTRAST, LARGEST_BRIGHTNESS * 255)
    padded = np.pad(image[:, ::-1] if flip else image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    moved = padded[reach + down : reach + down + height, reach + right : reach + right + width].astype(np.float64)
    lit = (moved - moved.mean()) * (1 + contrast) + moved.mean() + brightness
    whole: NDArray[np.uint8] = np.rint(np.clip(lit, 0, 255)).astype(np.uint8)
    return whole


def _row(row: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    hidden = rng.random(len(row)) < HIDDEN_SHARE
    return row if hidden.all() else np.where(hidden, np.float32(np.nan), row)


def _tokens(tokens: NDArray[np.int32], rng: np.random.Generator, task: TextTask) -> NDArray[np.int32]:
    hidden = (rng.random(len(tokens)) < HIDDEN_SHARE) & (tokens != task.padding)
    # The first token may be the one that stands for the whole text.
    hidden[:1] = False
    return np.where(hidden, np.int32(substitute(task)), tokens)
