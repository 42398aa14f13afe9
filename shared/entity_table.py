"""What a public graph knows of a column's categories, small enough to live inside a student: 8-bit embeddings, one step a row.

It is part of what every student of a run is made with (:class:`shared.work.Normalisation`), never learnt, and the same everywhere.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from shared.frozen import Frozen

LIMIT = 127
LARGEST = 65_536
"""Bytes that all tables of a student may take: they travel in every plan."""
STEP_BYTES = 4
"""Of a row's step, beside a byte for each of its numbers."""
_STEP = np.dtype("<f4")


class TableSettings(Frozen):
    """What the student itself keeps of the public graph, at the edge too (``docs/knowledge.md``): embeddings of the entities that the
    categories of ``columns`` name, ``width`` numbers of 8 bits each, looked up by a record's category and never learnt.

    They are made as ``[knowledge.embeddings]`` says, or read from ``embeddings_path``, a file of ``fedstill knowledge embed`` of public
    triples; entities that it lacks are like their neighbours. In all at most 65,536 bytes, which travel in every plan.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    width: int = Field(default=8, ge=1, le=64)
    embeddings_path: Path | None = None

    @model_validator(mode="after")
    def _each_column_once(self) -> TableSettings:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("[knowledge.table] names a column twice; name it once")
        return self


class EntityTable(Frozen):
    """The embeddings of ``column``'s categories, in their order: ``steps[k] · rows[k]``, zeros where the graph says nothing.

    ``rows``: int8 ``(categories, width)``, ``steps``: little-endian float32 ``(categories,)``, each as base64.
    """

    column: str = Field(min_length=1)
    width: int = Field(ge=1, le=64)
    rows: str = Field(max_length=2 * LARGEST)
    steps: str = Field(max_length=2 * LARGEST)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            rows, steps = base64.b64decode(self.rows, validate=True), base64.b64decode(self.steps, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the entity table of '{self.column}' is no base64") from error
        if len(steps) % _STEP.itemsize or len(rows) != self.width * (len(steps) // _STEP.itemsize) or not rows:
            raise ValueError(
                f"the entity table of '{self.column}' has {len(rows)} numbers and {len(steps)} bytes of steps, which do not fit"
            )
        numbers = np.frombuffer(steps, _STEP)
        if not (np.isfinite(numbers).all() and (numbers >= 0).all()):
            raise ValueError(f"the entity table of '{self.column}' has a step that is negative or no number")
        return self

    @property
    def size(self) -> int:
        """Bytes of rows and steps."""
        return len(base64.b64decode(self.rows)) + len(base64.b64decode(self.steps))

    def numbers(self) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Rows int8 ``(categories, width)`` and steps float32 ``(categories,)``."""
        rows = np.frombuffer(base64.b64decode(self.rows), np.int8).reshape(-1, self.width)
        return rows, np.frombuffer(base64.b64decode(self.steps), _STEP).astype(np.float32)


def entity_table(column: str, embeddings: NDArray[np.floating]) -> EntityTable:
    """The table of finite ``embeddings`` ``(categories, width)``: rounded to 8 bits, each row by its own largest magnitude."""
    steps = (np.abs(embeddings).max(axis=1) / LIMIT).astype(_STEP)
    # The step is rounded before it divides, so that equal tables are equal numbers on every machine.
    rows = np.rint(embeddings / np.maximum(steps, np.finfo(_STEP).tiny)[:, None]).clip(-LIMIT, LIMIT).astype(np.int8)
    return EntityTable(column=column, width=embeddings.shape[1], rows=_text(rows.tobytes()), steps=_text(steps.tobytes()))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
