"""Columns of a table as tokens: preprocessing and embedding in one, so that the exported graph takes raw records."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.models.lookup import EntityLookup, Lift
from shared.task import CategoricalColumn, TabularTask
from shared.work import Normalisation

LARGEST = 8.0
"""Normalised values are clipped to ± this many deviations: one wild value must not swamp the others, nor the INT8 range."""


class ColumnTokens(nn.Module):
    """``(batch, columns)`` with NaN -> ``(batch, columns, width)``, numeric columns first (Gorishniy et al. 2021, section 3.3).

    - numeric: ``z * scale_j + missing_j + bias_j``, where ``z`` is the normalised value (0 if it is not known) and
      ``missing_j`` is a learnt vector that is added only where the value is not known
    - categorical: a row of an embedding table, of which the column's last is for "not known"; a category that the task
      does not have counts as not known. With ``normalisation.tables`` what a public graph knows of the category is added, through one
      learnt map for all columns (:mod:`shared.models.lookup`)
    """

    def __init__(self, task: TabularTask, normalisation: Normalisation, width: int) -> None:
        super().__init__()
        closed = [column for column in task.columns if isinstance(column, CategoricalColumn)]
        sizes = [len(column.categories) for column in closed]
        numeric, names = list(task.numeric), range(len(task.columns))
        self.width, self.numbers, self.categories = width, len(numeric), len(sizes)
        self.register_buffer("numeric_columns", torch.tensor(numeric, dtype=torch.int64))
        self.register_buffer("category_columns", torch.tensor([name for name in names if name not in numeric], dtype=torch.int64))
        self.register_buffer("mean", torch.tensor(normalisation.means, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(normalisation.deviations, dtype=torch.float32))
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.float32))
        starts = [sum(sizes[:place]) + place for place in range(len(sizes))]
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64))
        self.scale = nn.Parameter(torch.empty(len(numeric), width))
        self.missing = nn.Parameter(torch.empty(len(numeric), width))
        self.table = nn.Parameter(torch.empty(sum(sizes) + len(sizes), width))
        self.bias = nn.Parameter(torch.empty(len(task.columns), width))
        self.lookup = EntityLookup(closed, normalisation.tables) if normalisation.tables else None
        self.lift = Lift(self.lookup.width, width) if self.lookup is not None else None

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform within ± 1 / sqrt(width), as in the paper."""
        bound = 1 / math.sqrt(self.width)
        for parameter in (self.scale, self.missing, self.table, self.bias):
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """The tokens of a batch of raw rows."""
        parts = []
        if self.numbers:
            parts.append(self._numeric(inputs.index_select(1, self.get_buffer("numeric_columns"))))
        if self.categories:
            parts.append(self._categorical(inputs.index_select(1, self.get_buffer("category_columns"))))
        return torch.cat(parts, dim=1) + self.bias

    def _numeric(self, values: Tensor) -> Tensor:
        unknown = torch.isnan(values)
        normalised = (values - self.get_buffer("mean")) / self.get_buffer("deviation")
        known = torch.where(unknown, torch.zeros_like(values), normalised).clamp(-LARGEST, LARGEST)
        return known.unsqueeze(-1) * self.scale + unknown.to(values.dtype).unsqueeze(-1) * self.missing

    def _categorical(self, values: Tensor) -> Tensor:
        sizes = self.get_buffer("sizes")
        known = (values >= 0) & (values < sizes)  # false for NaN too
        rows = torch.where(known, values, sizes.expand_as(values)).long() + self.get_buffer("starts")
        tokens = functional.embedding(rows, self.table)
        if self.lookup is None or self.lift is None:
            return tokens
        known_of: Tensor = self.lift(self.lookup(values))
        return tokens + known_of
