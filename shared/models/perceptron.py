"""The small family for tables: columns summed into one vector, and residual feed-forward blocks (the ResNet of Gorishniy et al. 2021, 3.2).

Without attention a record costs a few products of matrices, however many columns it has. Where columns are many and say much by
themselves (findings, codes), it learns as well as a transformer at a fraction of the time.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from shared.models.features import Features
from shared.models.layers import Dropout, Linear
from shared.models.network import Network
from shared.models.tokens import ColumnTokens
from shared.settings import NetworkSettings
from shared.task import TabularTask
from shared.work import Normalisation

EXPANSION = 2
"""Width of the inner layer of a block, in widths, where the settings say nothing."""


class Perceptron(Network):
    """The sum of the columns' tokens, ``depth`` blocks, a norm, a classifier. It shows one token a layer and no attention."""

    def __init__(self, settings: NetworkSettings, task: TabularTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        self.tokens = ColumnTokens(task, normalisation, settings.width)
        self.blocks = nn.ModuleList(FeedForward(settings) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.head = Linear(settings.width, len(task.labels))

    def features(self, inputs: Tensor) -> Features:
        """Hidden states ``(batch, 1, width)``: the sum of the columns, and what each block gives."""
        hidden = self.tokens(inputs).sum(dim=1)
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

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        inner = settings.width * (settings.expansion or EXPANSION)
        self.norm = nn.LayerNorm(settings.width)
        self.widen, self.narrow = Linear(settings.width, inner), Linear(inner, settings.width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(batch, width)`` -> the same."""
        fed = self.narrow(self.dropout(functional.relu(self.widen(self.norm(hidden)))))
        changed: Tensor = hidden + self.dropout(fed)
        return changed
