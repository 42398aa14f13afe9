"""The losses that embeddings give, and their gradients, are those of the formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor
from torch.nn import functional

from shared.knowledge.loss import prototype_logits
from shared.knowledge.pull import UNNAMED, Pull, contrastive, cosine, held_to, prototypes
from tests.support.distances import contrastive_distance, cosine_distance

SHARP = 0.1


def drawn(seed: int, *sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def units(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=1)


def learnt(states: Tensor, weight: Tensor, bias: Tensor, value: Callable[[Tensor, Tensor, Tensor], Tensor]) -> list[Tensor]:
    """The value and its gradients."""
    leaves = [part.clone().requires_grad_() for part in (states, weight, bias)]
    found = value(*leaves)
    (3.0 * found).backward()  # type: ignore[no-untyped-call]
    return [found.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@given(some.integers(0, 1000), some.integers(1, 7), some.integers(1, 4), some.integers(2, 5))
def test_value_and_gradients_are_those_that_torch_finds_by_the_formulas(seed: int, records: int, width: int, classes: int) -> None:
    given_numbers = (drawn(seed, records, 3), drawn(seed + 1, width, 3), drawn(seed + 2, width))
    kinds = torch.randint(UNNAMED, 3, (records,), generator=torch.Generator().manual_seed(seed))
    knowledge = torch.where((kinds == UNNAMED).unsqueeze(1), torch.zeros(()), drawn(seed + 3, 3, width)[kinds.clamp(min=0)])
    labels = torch.randint(-1, classes, (records,), generator=torch.Generator().manual_seed(seed + 4))
    absent = torch.arange(classes) == seed % (classes + 1)
    entities = drawn(seed + 5, classes, width).masked_fill(absent.unsqueeze(1), 0.0)
    by_record = 2.0 * (kinds != UNNAMED)
    by_class = 0.5 * functional.pad(~absent, (0, 1)).float()

    def pull(vectors: Tensor) -> Pull:
        rows = functional.pad(units(entities) / SHARP, (0, 0, 0, 1))
        near = contrastive(vectors, units(knowledge) / SHARP, by_record, kinds)
        return near + cosine(vectors, units(knowledge), by_record) + prototypes(vectors, rows, labels, by_class, absent)

    def plain(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        projected = functional.linear(states, weight, bias)
        logits = prototype_logits(projected, entities).masked_fill(absent, -1e30)
        right = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none") * by_class[labels]
        return (2.0 * (contrastive_distance(projected, knowledge) + cosine_distance(projected, knowledge)) + right).mean()

    fast = learnt(*given_numbers, lambda states, weight, bias: held_to(states, weight, bias, pull))
    for own, other in zip(fast, learnt(*given_numbers, plain), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)


def each(pull: Callable[[Tensor], Pull], weights: Tensor) -> Tensor:
    """What every record loses: the pull of one at a time, of which ``pull`` is told by its weights."""
    return torch.stack([pull(weights * (torch.arange(len(weights)) == place)).loss for place in range(len(weights))])


def test_contrastive_is_the_formula() -> None:
    own, others = units(drawn(1, 6, 4)), units(drawn(2, 6, 4))
    found = each(lambda weights: contrastive(own, others / 0.5, weights), torch.ones(6))
    for row in range(6):
        scores = [math.exp(float(own[row] @ other) / 0.5) for other in others]
        assert float(found[row]) == pytest.approx(-math.log(scores[row] / sum(scores)), rel=1e-4)


def test_where_all_are_named_and_no_two_alike_nothing_need_be_left_out() -> None:
    own, others, weights = units(drawn(1, 6, 4)), units(drawn(2, 6, 4)) / SHARP, torch.rand(6, generator=torch.Generator().manual_seed(3))
    asked, spared = contrastive(own, others, weights, torch.arange(6)), contrastive(own, others, weights)
    assert torch.equal(asked.loss, spared.loss)
    assert torch.equal(asked.gradient, spared.gradient)


def test_records_of_the_same_entities_are_no_negatives_and_unnamed_ones_neither() -> None:
    own, three = units(drawn(1, 5, 4)), units(drawn(2, 3, 4)) / SHARP
    twins, kinds = torch.cat([three, three[:1], torch.zeros(1, 4)]), torch.tensor([0, 1, 2, 0, UNNAMED])
    found = each(lambda weights: contrastive(own, twins, weights, kinds), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]))
    among_three = each(lambda weights: contrastive(own[:3], three, weights), torch.ones(3))
    among_named = each(lambda weights: contrastive(own[:4], twins[:4], weights, kinds[:4]), torch.ones(4))
    torch.testing.assert_close(found[0], among_three[0])
    torch.testing.assert_close(found[:4], among_named)
    assert found[4] == 0


def test_cosine_is_between_nothing_and_two() -> None:
    own = units(drawn(3, 6, 4))
    assert each(lambda weights: cosine(own, own, weights), torch.ones(6)).abs().max() < 1e-6
    torch.testing.assert_close(each(lambda weights: cosine(-own, own, weights), torch.ones(6)), torch.full((6,), 2.0))


def test_a_representation_of_nothing_has_finite_gradients() -> None:
    fast = learnt(
        torch.zeros(2, 3),
        drawn(1, 4, 3),
        torch.zeros(4),
        lambda states, weight, bias: held_to(states, weight, bias, lambda own: cosine(own, units(drawn(2, 2, 4)), torch.ones(2))),
    )
    assert all(part.isfinite().all() for part in fast)


def test_low_precision_around_it_changes_nothing_inside() -> None:
    numbers = (drawn(1, 4, 3), drawn(2, 5, 3), drawn(3, 5))
    pull = lambda vectors: cosine(vectors, units(drawn(4, 4, 5)), torch.ones(4))  # noqa: E731
    exact = held_to(*numbers, pull)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(held_to(*numbers, pull), exact)
