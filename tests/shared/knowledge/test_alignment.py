from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from shared.distill.trainer import distil
from shared.errors import CheckpointError
from shared.knowledge.alignment import PREFIX, KnowledgeAlignment, Known, representation, without_knowledge
from shared.knowledge.loss import prototype_logits
from shared.knowledge.pull import UNNAMED
from shared.models.features import Features
from shared.settings import DistillationSettings, EmbeddingTerms, TrainingSettings
from tests.support.distances import contrastive_distance, cosine_distance
from tests.support.networks import TEXTS, inputs, network, records

LABELS = torch.tensor([0, 1, -1, 1])
ROWS = torch.tensor([3, 0, 2, 1])
RANDOM = np.random.default_rng(2)
RECORDS, PROTOTYPES = (RANDOM.normal(size=size).astype(np.float32) for size in ((5, 6), (2, 6)))
SIMILARITY = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)


def known(trust: float = 1.0, **terms: Any) -> Known:
    return Known(RECORDS, PROTOTYPES, SIMILARITY, EmbeddingTerms.model_validate(terms), trust)


def shown() -> Features:
    states = torch.from_numpy(np.random.default_rng(4).normal(size=(4, 3, 8)).astype(np.float32))
    return Features(torch.from_numpy(np.random.default_rng(5).normal(size=(4, 2)).astype(np.float32)), (states, states * 2))


def test_each_term_is_the_formula_and_trust_weighs_their_sum() -> None:
    found = shown()
    for loss, distance in (("contrastive", contrastive_distance), ("cosine", cosine_distance)):
        module = KnowledgeAlignment(known(0.5, record_weight=2.0, record_loss=loss, prototype_weight=3.0, smoothing=0.25), 8, 1)
        projected = module.project(found.hidden_states[-1].mean(dim=1))
        by_record = distance(projected, torch.from_numpy(RECORDS)[ROWS])
        logits = prototype_logits(projected, torch.from_numpy(PROTOTYPES))
        expected = []
        for place, label in enumerate(LABELS.tolist()):
            value = 2.0 * by_record[place]
            if label >= 0:
                value = value - 3.0 * logits[place].log_softmax(0)[label]
                value = value - 0.25 * (torch.from_numpy(SIMILARITY)[label] * found.logits[place].log_softmax(0)).sum()
            expected.append(0.5 * value)
        torch.testing.assert_close(module(found, ROWS, LABELS), torch.stack(expected).mean())


def test_records_of_one_embedding_and_unnamed_ones_are_found_among_those_of_the_fit() -> None:
    found = shown()
    for place, other in ((3, RECORDS[2]), (3, np.zeros(6, np.float32))):
        some = RECORDS.copy()
        some[place] = other
        module = KnowledgeAlignment(dataclasses.replace(known(record_weight=2.0), records=some), 8, 1)
        losses = contrastive_distance(module.project(found.hidden_states[-1].mean(dim=1)), torch.from_numpy(some)[ROWS])
        torch.testing.assert_close(module(found, ROWS, LABELS), 2.0 * losses.mean())


def test_a_class_without_an_entity_is_no_prototype() -> None:
    bare = dataclasses.replace(known(prototype_weight=1.0), prototypes=np.stack([PROTOTYPES[0], np.zeros(6, np.float32)]))
    found = KnowledgeAlignment(bare, 8, 1)(shown(), ROWS, LABELS)
    torch.testing.assert_close(found, torch.zeros(()), msg="one class alone is always right, and the other has nothing to be near to")


def test_padding_is_no_part_of_a_representation() -> None:
    model = network(TEXTS)
    ids = torch.from_numpy(inputs(TEXTS, 6))
    longer = torch.cat([ids, torch.full((6, 0), TEXTS.padding, dtype=ids.dtype)], dim=1)
    found = model.features(longer)
    assert found.mask is not None
    by_hand = torch.stack([found.hidden_states[-1][row][found.mask[row]].mean(dim=0) for row in range(6) if found.mask[row].any()])
    torch.testing.assert_close(representation(found)[found.mask.any(dim=1)], by_hand)


def test_a_fit_draws_the_student_to_its_prototypes_and_goes_on_from_the_projection() -> None:
    own, training = records(), TrainingSettings(epochs=20, learning_rate=1e-2)
    tied = Known(np.zeros((40, 6), np.float32), PROTOTYPES, SIMILARITY, EmbeddingTerms(prototype_weight=1.0))
    student = network()
    alone, still = DistillationSettings(teacher="none"), TrainingSettings(epochs=1, learning_rate=1e-12)
    first = distil(student, None, own, training, alone, seed=1, known=tied)
    again = distil(network(), None, own, still, alone, seed=1, known=tied, alignment=first.alignment)
    name = f"{PREFIX}project.linear.weight"
    torch.testing.assert_close(again.alignment[name], first.alignment[name])
    assert without_knowledge(first.alignment) == {}
    module = KnowledgeAlignment(tied, 8, 1)
    module.go_on(first.alignment)
    logits = prototype_logits(module.project(representation(student.features(torch.from_numpy(own.inputs)))), torch.from_numpy(PROTOTYPES))
    assert (logits.argmax(dim=1).numpy() == own.labels).mean() > 0.9


def test_a_projection_of_another_shape_is_refused() -> None:
    kept = KnowledgeAlignment(known(), 8, 1).kept()
    with pytest.raises(CheckpointError, match="of another shape; remove the alignment files"):
        KnowledgeAlignment(known(), 16, 1).go_on(kept)


def test_records_of_one_embedding_are_of_one_kind_and_those_without_any_of_none() -> None:
    vectors = np.array([[0.5, 1.0], [0.0, -0.0], [0.5, 1.0], [0.0, 0.0], [1.0, 0.5], [0.0, 1.0], [-0.0, 1.0]], np.float32)
    kinds = Known(vectors, PROTOTYPES, SIMILARITY, EmbeddingTerms()).kinds
    assert kinds[0] == kinds[2] != kinds[4]
    assert kinds[5] == kinds[6], "a zero has no sign"
    assert kinds[1] == kinds[3] == UNNAMED
    assert len(set(kinds.tolist())) == 4


def test_without_any_term_nothing_is_lost() -> None:
    assert float(KnowledgeAlignment(known(), 8, 1)(shown(), ROWS, LABELS)) == 0.0
