from __future__ import annotations

import numpy as np
import pytest

from shared.errors import KnowledgeError
from shared.knowledge.linking import TextMapping
from shared.knowledge.text import dictionary_of, text_knowledge
from shared.knowledge.triples import graph_of
from tests.support.knowledge_texts import GRAPH, LABELS, MAPPING, TEXT_TASK, TEXTS


def test_what_a_text_names_speaks_for_its_class_with_a_label_or_without() -> None:
    found = text_knowledge(GRAPH, MAPPING, TEXT_TASK, TEXTS, LABELS)
    answers = found.answers()
    assert found.trust > 0.5
    np.testing.assert_array_equal(answers[:4].argmax(axis=1), [0, 1, 0, 1])
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=1e-5)
    certain = answers.max(axis=1)
    assert (certain[4::5] < certain[0::5]).all(), "a text that names nothing says less"


def test_labels_that_speak_against_the_graph_and_no_labels_leave_no_trust() -> None:
    for labels in (np.where(LABELS < 0, -1, 1 - LABELS), np.full_like(LABELS, -1)):
        assert text_knowledge(GRAPH, MAPPING, TEXT_TASK, TEXTS, labels).trust == 0.0


def test_without_names_every_entity_goes_by_its_own() -> None:
    graph = graph_of([("Flu", "shows", "fever", 1.0), ("flu ", "shows", "x", 1.0), ("broken bone", "shows", "swelling", 1.0)])
    dictionary = dictionary_of(graph, TextMapping(classes={}))
    assert dictionary.named("FLU, a fever, no Broken  Bone") == ("Flu", "fever", "broken bone")
    assert "x" not in dictionary.entities, "a single letter is in every text"
    assert len([name for name in dictionary.entities if name.strip().casefold() == "flu"]) == 1


def test_a_mapping_that_ties_nothing_is_refused() -> None:
    loose = MAPPING.model_copy(update={"names": {"weather": ("rain",)}})
    with pytest.raises(KnowledgeError, match="no class is within 1 triples of anything that a text could name"):
        text_knowledge(GRAPH, loose, TEXT_TASK, TEXTS, LABELS)
    with pytest.raises(KnowledgeError, match="the mapping names the class 'gout'"):
        text_knowledge(GRAPH, MAPPING.model_copy(update={"classes": {"gout": "flu"}}), TEXT_TASK, TEXTS, LABELS)
