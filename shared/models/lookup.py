"""Embeddings of a public graph inside a student: looked up by a record's category, held still, and carried into the student's width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.entity_table import EntityTable
from shared.errors import ConfigError
from shared.models.layers import Linear
from shared.task import CategoricalColumn, TabularTask


class EntityLookup(nn.Module):
    """``(batch, columns)`` raw categories -> ``(batch, columns, width)``: ``steps[k] · rows[k]`` of each column's table.

    A column without a table, and a category that is not known, has zeros. The rows stay in 8 bits: in the exported file too, where only
    those that are looked up become float.
    """

    def __init__(self, columns: Sequence[CategoricalColumn], tables: Sequence[EntityTable]) -> None:
        """Raises :class:`ConfigError` for a table that is of no column of ``columns``, or of other categories."""
        super().__init__()
        by_column = {table.column: table.numbers() for table in tables}
        _check(columns, tables)
        found = [by_column[column.name] for column in columns if column.name in by_column]
        self.width = tables[0].width
        nothing = (np.zeros((1, self.width), np.int8), np.zeros(1, np.float32))
        rows, steps = (np.concatenate([pair[part] for pair in (*found, nothing)]) for part in (0, 1))
        sizes = [len(by_column[column.name][0]) if column.name in by_column else 0 for column in columns]
        self.nowhere = len(rows) - 1
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("steps", torch.from_numpy(steps))
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.float32))
        self.register_buffer("starts", torch.tensor(np.cumsum([0, *sizes[:-1]]), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        """The embeddings of a batch's categories."""
        known = (values >= 0) & (values < self.get_buffer("sizes"))  # false for NaN too
        places = torch.where(known, values, torch.zeros_like(values)).long() + self.get_buffer("starts")
        places = torch.where(known, places, torch.full_like(places, self.nowhere))
        rows = functional.embedding(places, self.get_buffer("rows")).to(torch.float32)
        return rows * self.get_buffer("steps")[places].unsqueeze(-1)


class Lift(Linear):
    """``x W^T`` that begins at zero: a student with a table begins as the one without."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def initialise(self, generator: torch.Generator) -> None:
        """All zeros."""
        nn.init.zeros_(self.weight)


def with_tables(task: TabularTask, tables: Sequence[EntityTable]) -> tuple[CategoricalColumn, ...]:
    """The categorical columns that have a table, in the task's order."""
    named = {table.column for table in tables}
    return tuple(column for column in task.columns if isinstance(column, CategoricalColumn) and column.name in named)


def _check(columns: Sequence[CategoricalColumn], tables: Sequence[EntityTable]) -> None:
    sizes = {column.name: len(column.categories) for column in columns}
    names = [table.column for table in tables]
    for table in tables:
        if names.count(table.column) > 1 or len({one.width for one in tables}) > 1:
            raise ConfigError(f"the entity table of '{table.column}' comes twice, or tables differ in width; install the same release")
        if sizes.get(table.column) != len(table.numbers()[0]):
            raise ConfigError(
                f"the entity table of '{table.column}' has {len(table.numbers()[0])} rows, which are not those of a categorical column of "
                "the task; coordinator and institution differ in task"
            )
