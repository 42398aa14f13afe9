"""The small family for tables: columns summed into one vector, and residual feed-forward blocks (the ResNet of Gorishniy et al. 2021, 3.2).

Without attention a record costs a few products of matrices, however many columns it has. Where columns are many and say much by
themselves (findings, codes), it learns as well as a transformer at a fraction of the time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.models.features import Features
from shared.models.layers import Dropout, Linear
from shared.models.lookup import EntityLookup, Lift, with_tables
from shared.models.network import Network
from shared.models.tokens import LARGEST
from shared.settings import NetworkSettings
from shared.task import CategoricalColumn, TabularTask
from shared.work import Normalisation

EXPANSION = 2
"""Width of the inner layer of a block, in widths, where the settings say nothing."""


class ColumnSum(nn.Module):
    """``(batch, columns)`` with NaN -> ``(batch, width)``: what :class:`ColumnTokens` says of each column, summed, as products of matrices.

    A category is one of its column's flags, or, where it is not known or not one of the task's, the column's own flag for that: products
    with flags are several times faster than rows of a table looked up and summed, and run in INT8. With ``normalisation.tables`` what a
    public graph knows of the categories is added, through a learnt map of each column that has a table (:mod:`shared.models.lookup`).
    """

    def __init__(self, task: TabularTask, normalisation: Normalisation, width: int) -> None:
        super().__init__()
        numeric, sizes = list(task.numeric), [len(column.categories) for column in task.columns if isinstance(column, CategoricalColumn)]
        closed = [place for place in range(len(task.columns)) if place not in numeric]
        self.columns, self.numbers, self.categories = len(task.columns), len(numeric), len(closed)
        self.register_buffer("numeric_columns", torch.tensor(numeric, dtype=torch.int64))
        self.register_buffer("mean", torch.tensor(normalisation.means, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(normalisation.deviations, dtype=torch.float32))
        self.register_buffer("category_columns", torch.tensor(closed, dtype=torch.int64))
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.float32))
        owners = [place for place, size in zip(closed, sizes, strict=True) for _ in range(size)]
        self.register_buffer("flag_columns", torch.tensor(owners, dtype=torch.int64))
        self.register_buffer("flag_values", torch.tensor([value for size in sizes for value in range(size)], dtype=torch.float32))
        self.scale, self.missing = (nn.Parameter(torch.empty(len(numeric), width)) for _ in range(2))
        self.table, self.unknown = nn.Parameter(torch.empty(sum(sizes), width)), nn.Parameter(torch.empty(len(closed), width))
        self.bias = nn.Parameter(torch.empty(width))
        known = with_tables(task, normalisation.tables)
        self.lookup = EntityLookup(known, normalisation.tables) if normalisation.tables else None
        self.lift = Lift(len(known) * self.lookup.width, width) if self.lookup is not None else None
        if known:
            places = [place for place, column in enumerate(task.columns) if column in known]
            self.register_buffer("table_columns", torch.tensor(places, dtype=torch.int64))

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform within ± 1 / sqrt(columns)."""
        bound = 1 / math.sqrt(self.columns)
        for parameter in (self.scale, self.missing, self.table, self.unknown, self.bias):
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """The sum of a batch of raw rows."""
        total = self.bias.expand(inputs.shape[0], -1)
        if self.numbers:
            total = total + self._numeric(inputs.index_select(1, self.get_buffer("numeric_columns")))
        if self.categories:
            total = total + self._categorical(inputs)
        if self.lookup is not None and self.lift is not None:
            values = inputs.index_select(1, self.get_buffer("table_columns"))
            total = total + self.lift(self.lookup(values).flatten(1))
        return total

    def _numeric(self, values: Tensor) -> Tensor:
        unknown = torch.isnan(values)
        normalised = (values - self.get_buffer("mean")) / self.get_buffer("deviation")
        known = torch.where(unknown, torch.zeros_like(values), normalised).clamp(-LARGEST, LARGEST)
        return known @ self.scale + unknown.to(values.dtype) @ self.missing

    def _categorical(self, inputs: Tensor) -> Tensor:
        values = inputs.index_select(1, self.get_buffer("category_columns"))
        whole = torch.nan_to_num(values, nan=-1.0, posinf=-1.0, neginf=-1.0)
        known = (whole >= 0) & (whole < self.get_buffer("sizes"))
        flags = torch.nan_to_num(inputs, nan=-1.0).trunc().index_select(1, self.get_buffer("flag_columns")) == self.get_buffer(
            "flag_values"
        )
        return flags.to(self.table.dtype) @ self.table + (~known).to(self.table.dtype) @ self.unknown


class Perceptron(Network):
    """The sum of the columns, ``depth`` blocks, a norm, a classifier. It shows one token a layer and no attention."""

    def __init__(self, settings: NetworkSettings, task: TabularTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        self.sum = ColumnSum(task, normalisation, settings.width)
        self.blocks = nn.ModuleList(FeedForward(settings, place) for place in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.head = Linear(settings.width, len(task.labels))

    def features(self, inputs: Tensor) -> Features:
        """Hidden states ``(batch, 1, width)``: the sum of the columns, and what each block gives."""
        hidden = self.sum(inputs)
        states = [hidden]
        for block in self.blocks:
            hidden = block(hidden)
            states.append(hidden)
        return Features(self.head(functional.relu(self.norm(hidden))), tuple(state.unsqueeze(1) for state in states))

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 ``(batch, columns)``, NaN where not known -> logits ``(batch, labels)``."""
        return self.features(inputs).logits


class FeedForward(nn.Module):
    """``h + W₂ relu(W₁ norm(h))``, with dropout after both."""

    def __init__(self, settings: NetworkSettings, place: int = 0) -> None:
        """``place`` is the block's among all."""
        super().__init__()
        inner = settings.inner_of(place, settings.width * (settings.expansion or EXPANSION))
        self.norm = nn.LayerNorm(settings.width)
        self.widen, self.narrow = Linear(settings.width, inner), Linear(inner, settings.width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(batch, width)`` -> the same."""
        fed = self.narrow(self.dropout(functional.relu(self.widen(self.norm(hidden)))))
        changed: Tensor = hidden + self.dropout(fed)
        return changed
