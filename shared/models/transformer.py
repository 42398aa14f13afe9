"""The family for tables: a transformer over columns (FT-Transformer, Gorishniy et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.models.attention import attend
from shared.models.features import Features
from shared.models.layers import Dropout, Linear
from shared.models.network import Network
from shared.models.tokens import ColumnTokens
from shared.settings import NetworkSettings
from shared.task import TabularTask
from shared.work import Normalisation

EXPANSION = 2
"""Width of the inner layer of a feed-forward part, in widths, where the settings say nothing."""


class TabularTransformer(Network):
    """Column tokens and a class token through pre-norm blocks; the class token is classified.

    The feed-forward parts have ReLU: its outputs start at zero, which suits unsigned 8-bit activations best.
    """

    def __init__(self, settings: NetworkSettings, task: TabularTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        self.tokens = ColumnTokens(task, normalisation, settings.width)
        self.class_token = nn.Parameter(torch.empty(1, 1, settings.width))
        self.blocks = nn.ModuleList(Block(settings, place) for place in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.head = Linear(settings.width, len(task.labels))

    def initialise(self, generator: torch.Generator) -> None:
        """Fills the class token."""
        bound = 1 / math.sqrt(self.settings.width)
        nn.init.uniform_(self.class_token, -bound, bound, generator=generator)

    def features(self, inputs: Tensor) -> Features:
        """Tokens are the class token, then the columns, numeric ones first."""
        tokens = self.tokens(inputs)
        hidden = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return classified(hidden, self.blocks, self.norm, self.head)

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 ``(batch, columns)``, NaN where not known -> logits ``(batch, labels)``."""
        return self.features(inputs).logits


def classified(hidden: Tensor, blocks: Iterable[nn.Module], norm: nn.Module, head: nn.Module) -> Features:
    """Tokens ``(batch, tokens, width)`` through the blocks, and the first of them, a class token, through ``norm`` and ``head``.

    Hidden states are what goes into the first block and what each gives, attentions one a block.
    """
    states, maps = [hidden], []
    for block in blocks:
        hidden, attention = block(hidden)
        states.append(hidden)
        maps.append(attention)
    return Features(head(functional.relu(norm(hidden[:, 0]))), tuple(states), tuple(maps))


class Block(nn.Module):
    """Self-attention and feed-forward, each normalised before and added after (Vaswani et al. 2017; Xiong et al. 2020)."""

    def __init__(self, settings: NetworkSettings, place: int = 0) -> None:
        """``place`` is the block's among all."""
        super().__init__()
        width, inner = settings.width, settings.inner_of(place, settings.width * (settings.expansion or EXPANSION))
        self.heads = settings.heads_of(place)
        attended = self.heads * settings.width_of_heads()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = Linear(width, 3 * attended), Linear(attended, width)
        self.widen, self.narrow = Linear(width, inner), Linear(inner, width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, tokens, width)`` -> the same shape, and the attention ``(batch, heads, tokens, tokens)``."""
        mixed, attention = attend(self.query_key_value(self.attention_norm(hidden)), self.heads)
        hidden = hidden + self.dropout(self.mix(mixed))
        fed = self.narrow(self.dropout(functional.relu(self.widen(self.feed_norm(hidden)))))
        return hidden + self.dropout(fed), attention
