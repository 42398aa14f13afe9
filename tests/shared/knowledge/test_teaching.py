from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.data.heart import TASK, read_heart
from shared.data.records import UNLABELLED, Records
from shared.errors import KnowledgeError
from shared.knowledge.embedding import means
from shared.knowledge.embedding_file import load_embeddings, save_embeddings
from shared.knowledge.heart import MAPPING, read_heart_graph
from shared.knowledge.inductive import carried_over
from shared.knowledge.linking import LabelMapping, TextMapping
from shared.knowledge.members import members
from shared.knowledge.pretraining import PretrainingSettings, pretrain
from shared.knowledge.teaching import GraphTeacher
from shared.knowledge.triples import graph_of
from shared.settings import EmbeddingTerms, KnowledgeTerms
from tests.support.networks import IMAGES, TEXTS
from tests.support.networks import records as small

CLEVELAND = read_heart()["cleveland"]
HUNGARY = read_heart()["hungary"]


def knowledge(records: Records = CLEVELAND) -> GraphTeacher:
    return GraphTeacher(read_heart_graph(), MAPPING, TASK, records)


def random() -> np.random.Generator:
    return np.random.default_rng(5)


def probabilities(table: np.ndarray) -> np.ndarray:
    shown: np.ndarray = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    return shown


def test_imagined_records_weigh_as_much_as_the_labels_bear_the_graph_out() -> None:
    made = knowledge()
    found = made.auxiliary(KnowledgeTerms(weight=3.0, pool=300, imagined=7), random())
    assert found is not None
    assert (found.weight, found.batch, found.even) == (pytest.approx(3.0 * made.trust), 7, False)
    assert found.inputs.shape == (300, len(TASK.columns))
    np.testing.assert_allclose(np.exp(found.table).sum(axis=1), 1.0, rtol=1e-5)


def test_a_graph_that_no_label_bears_out_and_a_weight_of_nothing_teach_nothing() -> None:
    blind = Records(CLEVELAND.inputs, np.full_like(CLEVELAND.labels, UNLABELLED))
    assert knowledge(blind).auxiliary(KnowledgeTerms(), random()) is None
    assert knowledge(blind).known(EmbeddingTerms()) is None
    assert knowledge().auxiliary(KnowledgeTerms(weight=0.0), random()) is None


def test_classes_are_imagined_by_their_shares_or_evenly() -> None:
    rare = np.flatnonzero(CLEVELAND.labels == 1)[:20]
    records = CLEVELAND.take(np.concatenate([np.flatnonzero(CLEVELAND.labels == 0), rare]))
    made = knowledge(records)
    shares, even = (
        made.auxiliary(KnowledgeTerms.model_validate({"pool": 4000, "classes": classes}), random()) for classes in ("shares", "even")
    )
    assert shares is not None
    assert even is not None
    assert even.even
    assert not shares.even
    ill = (records.labels == 1).mean()
    assert probabilities(shares.table)[:, 1].mean() == pytest.approx(ill, abs=0.03)
    assert probabilities(even.table)[:, 1].mean() == pytest.approx(0.5, abs=0.03)


def test_label_shares_that_are_taken_out_of_the_lessons_are_out_of_what_is_imagined() -> None:
    records = CLEVELAND.take(np.argsort(CLEVELAND.labels, kind="stable")[:200])
    terms, made = KnowledgeTerms(pool=4000), knowledge(records)
    for correction, expected in ((0.0, (records.labels == 1).mean()), (1.0, 0.7)):
        found = made.auxiliary(terms, random(), label_shares=(0.3, 0.7), label_correction=correction)
        assert found is not None
        assert probabilities(found.table)[:, 1].mean() == pytest.approx(expected, abs=0.03)


def test_what_records_miss_is_missing_in_imagined_ones_too() -> None:
    # Hungary's hospital hardly ever looked at the vessels.
    found = knowledge(HUNGARY).auxiliary(KnowledgeTerms(pool=2000), random())
    assert found is not None
    np.testing.assert_allclose(np.isnan(found.inputs).mean(axis=0), np.isnan(HUNGARY.inputs).mean(axis=0), atol=0.05)


WORDS = [["ill", "with", "cough"], ["well", "and", "glad"], ["dull", "grey"]]
TEXT_GRAPH = graph_of([(word, "shows", disease, 1.0) for word, disease in (("cough", "A"), ("glad", "B"), ("grey", "C"))])
NAMES = {"cough": ("cough", "coughs"), "glad": ("glad",), "grey": ("grey",)}
TEXT_MAPPING = TextMapping(classes={"a": "A", "b": "B", "c": "C"}, names=NAMES)


def test_texts_are_taught_on_the_own_ones_with_what_they_name() -> None:
    own = small(TEXTS, 60)
    labels = np.where(np.arange(60) < 30, own.labels, UNLABELLED)
    texts = [" ".join(WORDS[label]) for label in own.labels]
    made = GraphTeacher(TEXT_GRAPH, TEXT_MAPPING, TEXTS, Records(own.inputs, labels), texts=texts)
    found = made.auxiliary(KnowledgeTerms(imagined=9), random())
    assert found is not None
    assert made.trust > 0.5
    assert found.inputs is own.inputs
    np.testing.assert_array_equal(found.table.argmax(axis=1), own.labels)
    known = made.known(EmbeddingTerms(width=8, epochs=20, encoder="none"))
    assert known is not None
    assert np.unique(known.records.round(4), axis=0).shape == (3, 8)


def test_images_are_taught_by_what_their_labels_are_alone() -> None:
    own, mapping = small(IMAGES, 12), LabelMapping(classes={"a": "A", "b": "B"})
    made = GraphTeacher(TEXT_GRAPH, mapping, IMAGES, own)
    assert made.trust == 1.0
    assert made.auxiliary(KnowledgeTerms(), random()) is None
    known = made.known(EmbeddingTerms(width=8, epochs=1))
    assert known is not None
    assert not known.records.any()
    assert known.prototypes[:2].any(axis=1).all()
    assert not known.prototypes[2].any(), "a class without an entity has no prototype"
    with pytest.raises(KnowledgeError, match="no label of the task is an entity"):
        GraphTeacher(graph_of([("x", "r", "y", 1.0)]), mapping, IMAGES, own)


def test_embeddings_are_made_once_for_equal_terms() -> None:
    made, terms = knowledge(), EmbeddingTerms(width=8, epochs=1, steps=1)
    assert made.known(terms) is made.known(EmbeddingTerms(width=8, epochs=1, steps=1))
    assert made.known(terms) is not made.known(EmbeddingTerms(width=16, epochs=1, steps=1))


def test_a_mapping_of_another_family_is_refused() -> None:
    for task, mapping in ((TASK, TEXT_MAPPING), (IMAGES, MAPPING), (IMAGES, TEXT_MAPPING), (TEXTS, MAPPING)):
        with pytest.raises(KnowledgeError, match="is not one for a task of family"):
            GraphTeacher(read_heart_graph(), mapping, task, CLEVELAND)


def test_stored_embeddings_take_the_place_of_pretraining_and_entities_they_lack_are_like_their_neighbours(tmp_path: Path) -> None:
    graph, terms = read_heart_graph(), EmbeddingTerms(record_weight=1.0, width=8, encoder="none")
    angina = "angina on exercise"
    assert angina in graph.ids
    fewer = graph_of([row for row in graph.rows() if angina not in (row[0], row[2])])
    settings = PretrainingSettings(width=8, epochs=2)
    for one, name in (graph, "whole"), (fewer, "fewer"):
        save_embeddings(tmp_path / name, one, pretrain(one, settings, 3), settings, 3)
    whole, part = (load_embeddings(tmp_path / name) for name in ("whole", "fewer"))
    known = GraphTeacher(graph, MAPPING, TASK, CLEVELAND, stored=whole).known(terms)
    inducted = GraphTeacher(graph, MAPPING, TASK, CLEVELAND, stored=part).known(terms)
    assert known is not None
    assert inducted is not None
    named = members(graph, MAPPING, TASK, CLEVELAND, None)
    np.testing.assert_array_equal(known.records, means(whole.entities, named))
    with_angina = (named == graph.ids[angina]).any(axis=1)
    assert with_angina.any()
    np.testing.assert_array_equal(inducted.records, means(carried_over(graph, part, 8), named))
    assert inducted.records[with_angina].any(axis=1).all()
