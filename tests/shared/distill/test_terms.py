"""Each term against its formula written out anew, and its gradient against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shared.distill.attention_alignment import AttentionAlignment, distance
from shared.distill.hard_labels import HardLabels
from shared.distill.hidden_alignment import HiddenAlignment
from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features
from shared.models.seeds import generator

LABELS = torch.tensor([0, 2, 1])


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, str(shape)), dtype=torch.float64)


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.softmax(some(*shape, seed=seed), dim=-1)


# Hard labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_hard_labels_by_hand(smoothing: float) -> None:
    logits = some(3, 3)
    probabilities = torch.softmax(logits, dim=1).numpy()
    targets = np.full((3, 3), smoothing / 3)
    targets[np.arange(3), LABELS.numpy()] += 1 - smoothing
    expected = -(targets * np.log(probabilities)).sum(axis=1).mean()
    assert HardLabels(smoothing)(Features(logits), None, LABELS).mean().item() == pytest.approx(expected)


# Soft targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_targets_by_hand(temperature: float) -> None:
    student, teacher = some(3, 4), some(3, 4, seed=1)
    p, q = (np.exp(x / temperature) / np.exp(x / temperature).sum(axis=1, keepdims=True) for x in (teacher.numpy(), student.numpy()))
    expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    assert SoftTargets(temperature)(Features(student), Features(teacher), LABELS).mean().item() == pytest.approx(expected)


def test_soft_targets_of_an_equal_teacher_cost_nothing() -> None:
    logits = some(3, 4)
    assert SoftTargets(2.0)(Features(logits + 5), Features(logits), LABELS).mean().item() == pytest.approx(0.0, abs=1e-12)


def test_hot_soft_targets_become_squared_distances_of_logits() -> None:
    # Hinton et al. 2015, eq. 4: for high T and centred logits, T² KL -> sum (z - v)² / (2 N).
    student, teacher = (x - x.mean(dim=1, keepdim=True) for x in (some(3, 4), some(3, 4, seed=1)))
    expected = ((student - teacher) ** 2).sum(dim=1).mean() / (2 * 4)
    assert SoftTargets(1e4)(Features(student), Features(teacher), LABELS).mean().item() == pytest.approx(float(expected), rel=1e-3)


# Hidden alignment


def hidden_pair(student_tokens: int = 5, teacher_tokens: int = 5) -> tuple[Features, Features]:
    student = Features(some(3, 2), tuple(some(3, student_tokens, 4, seed=layer) for layer in range(3)))
    teacher = Features(some(3, 2), tuple(some(3, teacher_tokens, 6, seed=10 + layer) for layer in range(5)))
    return student, teacher


def test_hidden_alignment_by_hand() -> None:
    student, teacher = hidden_pair()
    term = HiddenAlignment(student, teacher, 0.5, generator(1, "p")).double()
    expected = 0.0
    for layer, other in enumerate((0, 2, 4)):
        target = teacher.hidden_states[other].numpy()
        target = (target - target.mean(axis=2, keepdims=True)) / np.sqrt(target.var(axis=2, keepdims=True) + 1e-5)
        weight, bias = (parameter.detach().numpy() for parameter in term.projections[layer].parameters())
        projected = student.hidden_states[layer].numpy() @ weight.T + bias
        expected += 0.5 ** (layer / 2) / 3 * ((projected - target) ** 2).mean()
    assert term(student, teacher, LABELS).mean().item() == pytest.approx(expected)


def test_hidden_alignment_averages_tokens_that_do_not_pair() -> None:
    student, teacher = hidden_pair(5, 7)
    term = HiddenAlignment(student, teacher, 0.5, generator(1, "p")).double()
    pooled = [Features(x.logits, tuple(state.mean(dim=1, keepdim=True) for state in x.hidden_states)) for x in (student, teacher)]
    torch.testing.assert_close(term(student, teacher, LABELS), term(*pooled, LABELS))


def test_hidden_alignment_does_not_depend_on_the_teachers_scale() -> None:
    student, teacher = hidden_pair()
    term = HiddenAlignment(student, teacher, 0.5, generator(1, "p")).double()
    larger = teacher.map(lambda tensor: tensor * 100)
    torch.testing.assert_close(term(student, teacher, LABELS), term(student, larger, LABELS), rtol=1e-4, atol=0)


# Attention alignment


def test_distance_of_attention_rows_by_hand() -> None:
    found, wanted = rows(3, 2, 5, 5), rows(3, 4, 5, 5, seed=1)
    q, p = found.numpy().mean(axis=1), wanted.numpy().mean(axis=1)
    expected = (p * np.log(p / q)).sum(axis=-1).mean()
    assert distance(found, wanted).mean().item() == pytest.approx(expected, rel=1e-4)


def test_distance_of_activation_maps_by_hand() -> None:
    found, wanted = functional.normalize(some(3, 9), dim=1), functional.normalize(some(3, 9, seed=1), dim=1)
    expected = np.mean([2 - 2 * float(a @ b) for a, b in zip(found, wanted, strict=True)])
    assert distance(found, wanted).mean().item() == pytest.approx(expected)


def test_attention_alignment_weighs_late_layers_and_maps_them_evenly() -> None:
    student = Features(some(3, 2), (), tuple(rows(3, 2, 5, 5, seed=layer) for layer in range(2)))
    teacher = Features(some(3, 2), (), tuple(rows(3, 4, 5, 5, seed=10 + layer) for layer in range(4)))
    found = AttentionAlignment(student, teacher, 0.25)(student, teacher, LABELS)
    first, last = distance(student.attentions[0], teacher.attentions[1]), distance(student.attentions[1], teacher.attentions[3])
    torch.testing.assert_close(found, ((1 - 0.25**0.5) * first + (1 - 0.25) * last) / 2)


def test_maps_that_cannot_be_compared_are_left_out() -> None:
    student = Features(some(3, 2), (), (rows(3, 2, 5, 5), functional.normalize(some(3, 9), dim=1)))
    teacher = Features(some(3, 2), (), (rows(3, 2, 7, 7), functional.normalize(some(3, 9, seed=1), dim=1)))
    term = AttentionAlignment(student, teacher, 0.5)
    torch.testing.assert_close(term(student, teacher, LABELS), 0.25 * distance(student.attentions[1], teacher.attentions[1]))
    none = Features(some(3, 2), (), (student.attentions[0],))
    assert AttentionAlignment(none, Features(some(3, 2), (), (teacher.attentions[0],)), 0.5)(none, teacher, LABELS).sum().item() == 0.0


def test_attention_that_underflowed_is_no_nan() -> None:
    hard = torch.eye(4).expand(1, 1, 4, 4).clone().requires_grad_()
    value = distance(hard, torch.full((1, 1, 4, 4), 0.25)).sum()
    value.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(value.item())
    assert hard.grad is not None
    assert torch.isfinite(hard.grad).all()


# Gradients


def test_gradients_are_those_of_finite_differences() -> None:
    logits, teacher_logits = some(3, 3).requires_grad_(), some(3, 3, seed=1)
    state, target = some(3, 5, 4).requires_grad_(), some(3, 5, 6)
    scores, wanted = some(3, 2, 5, 5).requires_grad_(), rows(3, 4, 5, 5, seed=1)
    hidden = HiddenAlignment(Features(logits, (state, state)), Features(logits, (target, target)), 0.5, generator(1, "p")).double()
    assert torch.autograd.gradcheck(lambda x: HardLabels(0.1)(Features(x), None, LABELS), logits)
    assert torch.autograd.gradcheck(lambda x: SoftTargets(2.0)(Features(x), Features(teacher_logits), LABELS), logits)
    pair = Features(logits.detach(), (target, target))
    assert torch.autograd.gradcheck(lambda x: hidden(Features(logits.detach(), (x, x)), pair, LABELS), state)
    assert torch.autograd.gradcheck(lambda x: distance(torch.softmax(x, dim=-1), wanted), scores)
