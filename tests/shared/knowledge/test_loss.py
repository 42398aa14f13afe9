from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from shared.knowledge.loss import (
    ABSENT,
    Projection,
    class_similarity,
    contrastive_distance,
    cosine_distance,
    prototype_logits,
    record_embeddings,
)

GENERATOR = torch.Generator().manual_seed(0)
STUDENT, KNOWLEDGE = (torch.randn(6, 4, generator=GENERATOR) for _ in range(2))


def test_a_record_is_the_mean_of_the_entities_it_names() -> None:
    entities = torch.arange(8.0).reshape(4, 2)
    found = record_embeddings(entities, torch.tensor([[0, 3, ABSENT], [2, ABSENT, ABSENT], [ABSENT] * 3]))
    assert found.tolist() == [[3.0, 4.0], [4.0, 5.0], [0.0, 0.0]]


def test_cosine_is_between_nothing_and_two_and_blind_to_length() -> None:
    assert cosine_distance(3 * KNOWLEDGE, KNOWLEDGE).abs().max() < 1e-6
    torch.testing.assert_close(cosine_distance(-KNOWLEDGE, KNOWLEDGE), torch.full((6,), 2.0))


def test_contrastive_is_the_formula() -> None:
    found = contrastive_distance(STUDENT, KNOWLEDGE, temperature=0.5)
    for row in range(6):
        scores = [math.exp(float(functional.cosine_similarity(STUDENT[row], other, dim=0)) / 0.5) for other in KNOWLEDGE]
        assert float(found[row]) == pytest.approx(-math.log(scores[row] / sum(scores)), rel=1e-4)


def test_records_of_the_same_entities_are_no_negatives_and_unnamed_ones_neither() -> None:
    twins = torch.cat([KNOWLEDGE[:3], KNOWLEDGE[:1], torch.zeros(1, 4)])
    found = contrastive_distance(STUDENT[:5], twins)
    torch.testing.assert_close(found[0], contrastive_distance(STUDENT[:3], KNOWLEDGE[:3])[0])
    torch.testing.assert_close(found[1:4], contrastive_distance(STUDENT[:4], twins[:4])[1:])
    assert found[4] == 0
    assert cosine_distance(STUDENT[:5], twins)[4] == 0


def test_gradients_are_finite_where_a_record_names_nothing() -> None:
    student = STUDENT.clone().requires_grad_()
    knowledge = torch.cat([torch.zeros(5, 4), KNOWLEDGE[:1]])
    (contrastive_distance(student, knowledge).sum() + cosine_distance(student, knowledge).sum()).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert (student.grad[:5] == 0).all()


def test_a_record_on_its_prototype_is_of_its_class() -> None:
    logits = prototype_logits(KNOWLEDGE * 5, KNOWLEDGE)
    assert logits.argmax(dim=1).tolist() == list(range(6))
    torch.testing.assert_close(logits.diagonal(), torch.full((6,), 10.0))


def test_classes_are_alike_by_what_they_share() -> None:
    held = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    found = class_similarity(held)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(4))
    assert (found.diagonal() == 0).all()
    torch.testing.assert_close(found[0], torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(found[1], torch.tensor([2 / 3, 0.0, 1 / 3, 0.0]) / torch.tensor(1.0))
    torch.testing.assert_close(found[3], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0]))


def test_a_projection_carries_one_width_into_another() -> None:
    assert Projection(4, 7)(STUDENT).shape == (6, 7)


def test_kinds_that_are_known_change_nothing() -> None:
    generator = torch.Generator().manual_seed(8)
    knowledge = torch.randn(5, 6, generator=generator)[torch.tensor([0, 1, 0, 2, 3, 1, 4])]
    knowledge[4] = 0.0
    projected = torch.randn(7, 6, generator=generator)
    kinds = torch.tensor([0, 1, 0, 2, 3, 1, 4])
    torch.testing.assert_close(contrastive_distance(projected, knowledge, kinds=kinds), contrastive_distance(projected, knowledge))
