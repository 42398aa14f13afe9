"""Padding never teaches: means over the tokens that are real."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.errors import ConfigError
from shared.models.features import Features


def mask_of(shown: Features, tokens: int) -> Tensor | None:
    """Bool ``(batch, tokens)``, or ``None`` where all of a state's ``tokens`` are real."""
    return None if shown.mask is None or shown.mask.shape[1] != tokens else shown.mask


def same_tokens(found: Tensor, wanted: Tensor) -> None:
    """Raises :class:`ConfigError` where two states or maps of a batch are over other tokens (the last but one dimension).

    Records that a first look found equally long need not all be: a teacher may take shorter texts than the student, or join tokens.
    """
    if found.shape[-2:-1] != wanted.shape[-2:-1]:
        raise ConfigError(
            f"the teacher sees {wanted.shape[-2]} tokens where the student sees {found.shape[-2]}: it takes shorter texts or joins tokens; "
            "lower task.max_tokens to what it takes, or set distillation.attention_weight to 0"
        )


def common_mask(student: Features, teacher: Features, tokens: int) -> Tensor | None:
    """The tokens that are real to both, who have equally many."""
    masks = [mask for mask in (mask_of(student, tokens), mask_of(teacher, tokens)) if mask is not None]
    if not masks:
        return None
    return torch.stack(masks).all(dim=0)


def token_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """``(batch, tokens)`` -> ``(batch,)``: each record's mean over its real tokens, 0 if it has none."""
    if mask is None:
        return values.mean(dim=1)
    return values.masked_fill(~mask, 0.0).sum(dim=1) / mask.sum(dim=1).clamp_min(1)


def pooled(states: Tensor, mask: Tensor | None) -> Tensor:
    """``(batch, tokens, width)`` -> ``(batch, 1, width)``: the mean of the real tokens, 0 if there are none."""
    if mask is None:
        return states.mean(dim=1, keepdim=True)
    total = states.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1, keepdim=True)
    return total / mask.sum(dim=1).clamp_min(1)[:, None, None]


def paired(student: Features, teacher: Features, layer: int, place: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """The student's state ``layer``, the teacher's at ``place`` of those that it shows, and the mask of both.

    States of equally many tokens pair token by token; others are first averaged over their own real tokens.
    """
    state, target = student.hidden_states[layer], teacher.hidden_states[place]
    if state.shape[1] == target.shape[1]:
        return state, target, common_mask(student, teacher, state.shape[1])
    return pooled(state, mask_of(student, state.shape[1])), pooled(target, mask_of(teacher, target.shape[1])), None


def state_distance(found: Tensor, wanted: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over width and real tokens of the squared distance of ``(batch, tokens, width)`` states: ``(batch,)``."""
    return token_mean((found - wanted).square().mean(dim=-1), mask)
