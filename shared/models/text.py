"""The family for texts: a transformer over tokens, either an encoder (BERT, Devlin et al. 2019) or a decoder (GPT, Radford et al. 2018).

Both normalise after each part. Layers and names are such that a pretrained BERT fits in unchanged
(:mod:`shared.models.derive`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.models.attention import attend
from shared.models.features import Features
from shared.models.layers import Dropout, Linear
from shared.models.network import Network, trimmed
from shared.settings import NetworkSettings
from shared.task import TextTask
from shared.work import Normalisation

EXPANSION = 4
"""Width of the inner layer of a feed-forward part, in widths, where the settings say nothing."""
EPSILON = 1e-12
"""BERT's: a pretrained model must give the same states here."""
DEVIATION = 0.02
"""Of new embeddings, as BERT's."""


class TextTransformer(Network):
    """Embedded tokens through post-norm blocks; what is classified is pooled from the last states.

    ``architecture`` ``encoder``: every token sees all that are not padding. ``decoder``: it sees itself and those before it.
    Padding is never seen and never pooled: adding some changes no logit.
    """

    def __init__(self, settings: NetworkSettings, task: TextTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        self.padding = task.padding
        self.causal = settings.architecture == "decoder"
        self.pooling = pooling(settings)
        self.embedding = TokenEmbedding(settings, task)
        self.blocks = nn.ModuleList(TextBlock(settings, place) for place in range(settings.depth))
        self.dropout = Dropout(settings.dropout)
        self.head = Linear(settings.width, len(task.labels))

    def features(self, inputs: Tensor) -> Features:
        """One state before the first block and one after each, ``(batch, tokens, width)``; ``mask`` is false for padding.

        What is padding in all of the batch costs nothing: it is left out, and states and maps are filled up with zeros there.
        """
        return _widened(self._inside(trimmed(inputs, self.padding)), inputs.shape[1])

    def forward(self, inputs: Tensor) -> Tensor:
        """int32 ``(batch, tokens)``, 1 to ``max_tokens`` of them -> logits ``(batch, labels)``."""
        return self._inside(inputs).logits

    def _inside(self, inputs: Tensor) -> Features:
        mask = real_tokens(inputs, self.padding)
        seen = self._seen(mask)
        hidden = self.embedding(inputs)
        states, maps = [hidden], []
        for block in self.blocks:
            hidden, attention = block(hidden, seen)
            states.append(hidden)
            maps.append(attention)
        logits = self.head(self.dropout(pooled(hidden, mask, self.pooling)))
        return Features(logits, tuple(states), tuple(maps), mask)

    def _seen(self, mask: Tensor) -> Tensor:
        keys = mask[:, None, None, :]
        if not self.causal:
            return keys
        places = torch.arange(mask.shape[1], device=mask.device)
        return keys & (places[None, :] <= places[:, None])


class TokenEmbedding(nn.Module):
    """``norm(word + position)``, then, if ``embedding_width`` is another than ``width``, a linear map between the two.

    The factorisation is ALBERT's (Lan et al. 2020, section 3.1): ``vocabulary * e + e * width`` numbers instead of
    ``vocabulary * width``. A segment's embedding, which BERT adds, is a constant here and part of the positions.
    """

    def __init__(self, settings: NetworkSettings, task: TextTask) -> None:
        super().__init__()
        inner = settings.embedding_width or settings.width
        self.words = nn.Parameter(torch.empty(task.vocabulary, inner))
        self.positions = nn.Parameter(torch.empty(task.max_tokens, inner))
        self.norm = nn.LayerNorm(inner, eps=EPSILON)
        self.dropout = Dropout(settings.dropout)
        self.widen = Linear(inner, settings.width) if inner != settings.width else nn.Identity()

    def initialise(self, generator: torch.Generator) -> None:
        """Normal of deviation :data:`DEVIATION`."""
        for parameter in (self.words, self.positions):
            nn.init.normal_(parameter, std=DEVIATION, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """int32 ``(batch, tokens)`` -> ``(batch, tokens, width)``."""
        words = functional.embedding(inputs.long(), self.words)
        widened: Tensor = self.widen(self.dropout(self.norm(words + self.positions[: inputs.shape[1]])))
        return widened


class TextBlock(nn.Module):
    """Self-attention and feed-forward with GELU, each added and then normalised (Vaswani et al. 2017; Devlin et al. 2019).

    With ``activation`` ``relu`` the feed-forward part has ReLU in its place.
    """

    def __init__(self, settings: NetworkSettings, place: int = 0) -> None:
        """``place`` is the block's among all."""
        super().__init__()
        width, inner = settings.width, settings.inner_of(place, settings.width * (settings.expansion or EXPANSION))
        self.heads, self.rectified = settings.heads_of(place), settings.activation == "relu"
        attended = self.heads * settings.width_of_heads()
        self.query_key_value, self.mix = Linear(width, 3 * attended), Linear(attended, width)
        self.widen, self.narrow = Linear(width, inner), Linear(inner, width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)
        self.dropout = Dropout(settings.dropout)

    def forward(self, hidden: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, tokens, width)`` -> the same shape, and the attention ``(batch, heads, tokens, tokens)``."""
        mixed, attention = attend(self.query_key_value(hidden), self.heads, seen)
        hidden = self.attention_norm(hidden + self.dropout(self.mix(mixed)))
        widened = self.widen(hidden)
        fed = self.narrow(functional.relu(widened) if self.rectified else functional.gelu(widened))
        return self.feed_norm(hidden + self.dropout(fed)), attention


def pooling(settings: NetworkSettings) -> str:
    """``mean``, ``first`` or ``last``: as set, else the last token for a decoder and the mean for an encoder."""
    if settings.pooling != "auto":
        return settings.pooling
    return "last" if settings.architecture == "decoder" else "mean"


def pooled(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """One state a record, ``(batch, width)``, of its real tokens: their mean, the first, or the last."""
    if how == "first":
        return hidden[:, 0]
    weights = mask.to(hidden.dtype)
    if how == "last":
        # The last real token is the one after which none comes: as a product, for every exporter knows that.
        later = weights.flip(1).cumsum(1).flip(1)
        weights = weights * (later == 1).to(hidden.dtype)
    return (hidden * weights[:, :, None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)


def _widened(found: Features, tokens: int) -> Features:
    # All batches have one shape, so that what is asked once and kept can be put together.
    missing = tokens - found.hidden_states[0].shape[1]
    if not missing:
        return found
    states = tuple(functional.pad(state, (0, 0, 0, missing)) for state in found.hidden_states)
    maps = tuple(functional.pad(one, (0, missing, 0, missing)) for one in found.attentions)
    mask = None if found.mask is None else functional.pad(found.mask, (0, missing))
    return Features(found.logits, states, maps, mask)


def real_tokens(inputs: Tensor, padding: int) -> Tensor:
    """Bool ``(batch, tokens)``: what is not padding, and the first token always, so that an empty text is something too."""
    first = torch.arange(inputs.shape[1], device=inputs.device) == 0
    return (inputs != padding) | first
