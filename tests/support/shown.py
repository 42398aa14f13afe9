"""Features made of random numbers, that the tests of the objective's terms share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from shared.distill.term import Term
from shared.models.features import Features
from shared.models.seeds import generator

LABELS = torch.tensor([0, 2, 1])


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, str(shape)), dtype=torch.float64)


def shown(*, layers: int, width: int, heads: int = 2, tokens: int = 5, labels: int = 3, batch: int = 3, seed: int = 0) -> Features:
    """Features of a transformer of ``layers`` blocks; all tokens are real."""
    states = tuple(some(batch, tokens, width, seed=seed + layer) for layer in range(layers + 1))
    maps = tuple(torch.softmax(some(batch, heads, tokens, tokens, seed=seed + layer), dim=-1) for layer in range(layers))
    return Features(some(batch, labels, seed=seed), states, maps)


def padded(found: Features, extra: int, *, seed: int) -> Features:
    """The same features with ``extra`` tokens of padding, whose states and attention are anything."""

    def state(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, 10 * some(tensor.shape[0], extra, tensor.shape[2], seed=seed)], dim=1)

    def attention(tensor: Tensor) -> Tensor:
        tokens = tensor.shape[-1] + extra
        maps = torch.softmax(some(*tensor.shape[:2], tokens, tokens, seed=seed), dim=-1)
        maps[:, :, : tensor.shape[-1]] = 0.0
        maps[:, :, : tensor.shape[-1], : tensor.shape[-1]] = tensor
        return maps

    tokens = found.hidden_states[0].shape[1]
    mask = torch.cat([torch.ones(len(found.logits), tokens), torch.zeros(len(found.logits), extra)], dim=1).bool()
    return Features(found.logits, tuple(map(state, found.hidden_states)), tuple(map(attention, found.attentions)), mask)


def reordered(term: Callable[[Features, Features, Tensor], Tensor], student: Features, teacher: Features, labels: Tensor) -> None:
    """Asserts that each record's loss goes with the record when the batch is reordered."""
    order = torch.arange(len(labels)).flip(0)
    expected = term(student, teacher, labels)[order]
    torch.testing.assert_close(term(student.take(order), teacher.take(order), labels[order]), expected)


def gradients(term: Term, student: Features, teacher: Features, labels: Tensor) -> None:
    """Asserts that the gradient for the student's logits and states is that of finite differences."""
    leaves = [tensor.clone().requires_grad_() for tensor in (student.logits, *student.hidden_states)]

    def loss(logits: Tensor, *states: Tensor) -> Tensor:
        value: Tensor = term(Features(logits, states, student.attentions, student.mask), teacher, labels)
        return value

    assert torch.autograd.gradcheck(loss, leaves)
