from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.data.heart import TASK, read_heart
from shared.data.records import UNLABELLED
from shared.knowledge.embedding import further_trained, means, pretrained
from shared.knowledge.heart import MAPPING, read_heart_graph
from shared.knowledge.loss import ABSENT
from shared.knowledge.members import class_ids, members
from shared.settings import EmbeddingTerms

GRAPH, RECORDS = read_heart_graph(), read_heart()["cleveland"]
MEMBERS, CLASSES = members(GRAPH, MAPPING, TASK, RECORDS, None), class_ids(GRAPH, MAPPING, TASK)


def terms(**changed: Any) -> EmbeddingTerms:
    return EmbeddingTerms.model_validate({"width": 16, "epochs": 20, "steps": 60} | changed)


def nearest(table: np.ndarray) -> np.ndarray:
    own, classes = means(table, MEMBERS), means(table, CLASSES[:, None])
    cosine = own @ classes.T / np.linalg.norm(own, axis=1, keepdims=True) / np.linalg.norm(classes, axis=1)
    found: np.ndarray = cosine.argmax(axis=1)
    return found


@pytest.mark.parametrize("encoder", ["rgcn", "subtract", "multiply", "correlate"])
def test_records_find_their_class_better_once_the_labels_have_trained_the_embeddings_further(encoder: str) -> None:
    asked = terms(encoder=encoder)
    table = pretrained(GRAPH, asked, 1)
    trained = further_trained(GRAPH, table, MEMBERS, CLASSES, RECORDS.labels, asked, 1)
    before, after = ((nearest(one) == RECORDS.labels).mean() for one in (table, trained))
    assert after > max(before + 0.05, 0.75)
    np.testing.assert_array_equal(trained, further_trained(GRAPH, table, MEMBERS, CLASSES, RECORDS.labels, asked, 1))


def test_entities_that_nobody_names_stay_as_they_were() -> None:
    table = pretrained(GRAPH, terms(), 1)
    trained = further_trained(GRAPH, table, MEMBERS, CLASSES, RECORDS.labels, terms(), 1)
    named = np.unique(np.concatenate([MEMBERS[MEMBERS != ABSENT], CLASSES]))
    others = np.setdiff1d(np.arange(len(table)), named)
    np.testing.assert_array_equal(trained[others], table[others])
    assert (trained[named] != table[named]).any(axis=1).all()


def test_nothing_is_trained_further_where_there_is_nothing_to_learn_from() -> None:
    table, blind = pretrained(GRAPH, terms(), 1), np.full_like(RECORDS.labels, UNLABELLED)
    for changed, labels in ({"encoder": "none"}, RECORDS.labels), ({"steps": 0}, RECORDS.labels), ({}, blind), ({}, blind * 0):
        assert further_trained(GRAPH, table, MEMBERS, CLASSES, labels, terms(**changed), 1) is table
