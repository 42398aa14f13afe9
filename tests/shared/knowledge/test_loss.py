from __future__ import annotations

import torch

from shared.knowledge.loss import (
    ABSENT,
    Projection,
    class_similarity,
    prototype_logits,
    record_embeddings,
)

GENERATOR = torch.Generator().manual_seed(0)
STUDENT, KNOWLEDGE = (torch.randn(6, 4, generator=GENERATOR) for _ in range(2))


def test_a_record_is_the_mean_of_the_entities_it_names() -> None:
    entities = torch.arange(8.0).reshape(4, 2)
    found = record_embeddings(entities, torch.tensor([[0, 3, ABSENT], [2, ABSENT, ABSENT], [ABSENT] * 3]))
    assert found.tolist() == [[3.0, 4.0], [4.0, 5.0], [0.0, 0.0]]


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
