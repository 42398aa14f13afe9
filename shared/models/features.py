"""The seam that all distillation is written against: what a model shows of its inside, whatever its family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from shared.models.cells import activation_attention, cells


@dataclass(frozen=True)
class Features:
    """One batch on its way through a model of ``L`` blocks.

    - ``logits``: ``(batch, labels)``
    - ``hidden_states``: ``L + 1`` of ``(batch, tokens, width)``, before the first block and after each; tokens are table
      columns, patches, words, or cells of a feature map
    - ``attentions``: ``L`` of ``(batch, heads, tokens, tokens)``, each real token's row a distribution; or of ``(batch, tokens)``,
      each a map of unit length (activation attention of a convolutional net)
    - ``mask``: bool ``(batch, tokens)``, false where a token is padding; ``None`` where all are real. Losses over tokens leave
      padding out
    """

    logits: Tensor
    hidden_states: tuple[Tensor, ...] = ()
    attentions: tuple[Tensor, ...] = ()
    mask: Tensor | None = None

    def take(self, rows: Tensor) -> Features:
        """The features of some of the batch's records."""
        return self.map(lambda tensor: tensor.index_select(0, rows))

    def map(self, change: Callable[[Tensor], Tensor]) -> Features:
        """The same features, each tensor changed by ``change``."""
        mask = None if self.mask is None else change(self.mask)
        return Features(
            change(self.logits), tuple(change(state) for state in self.hidden_states), tuple(change(one) for one in self.attentions), mask
        )

    def to(self, device: torch.device) -> Features:
        """The same features on ``device``."""
        return self.map(lambda tensor: tensor.to(device))


class ModelOutput(Protocol):
    """What Hugging Face models return, by shape alone; ``hidden_states`` and ``attentions`` may be ``None``."""

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


def features(model: nn.Module, inputs: Tensor) -> Features:
    """A model's features: its own method ``features``, or the output of a Hugging Face model asked for its inside.

    Such a model must be made with ``attn_implementation="eager"``; the others give no attention maps.
    """
    own = getattr(model, "features", None)
    if own is not None and not isinstance(own, nn.Module):
        return cast(Features, own(inputs))
    return from_output(model(inputs, output_hidden_states=True, output_attentions=True))


def from_output(output: ModelOutput) -> Features:
    """Features of an object with ``logits``, ``hidden_states`` and ``attentions``.

    Hidden states that are feature maps ``(batch, channels, height, width)`` become cells, and give activation attention
    where the model has no attention of its own.
    """
    states = tuple(getattr(output, "hidden_states", None) or ())
    attentions = tuple(one for one in getattr(output, "attentions", None) or () if one is not None)
    if not attentions:
        attentions = tuple(activation_attention(state) for state in states[1:] if state.dim() == 4)
    return Features(output.logits, tuple(cells(state) if state.dim() == 4 else state for state in states), attentions)


def joined(parts: list[Features]) -> Features:
    """Features of consecutive batches as those of one."""
    return Features(
        torch.cat([part.logits for part in parts]),
        tuple(torch.cat(states) for states in zip(*(part.hidden_states for part in parts), strict=True)),
        tuple(torch.cat(maps) for maps in zip(*(part.attentions for part in parts), strict=True)),
        torch.cat([part.mask for part in parts if part.mask is not None]) if parts[0].mask is not None else None,
    )
