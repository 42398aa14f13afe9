from __future__ import annotations

import numpy as np

from shared.data.heart import TASK, read_heart
from shared.knowledge.heart import DISEASE, MAPPING, SOUND, read_heart_graph
from shared.knowledge.linking import LabelMapping
from shared.knowledge.loss import ABSENT
from shared.knowledge.members import class_findings, class_ids, members
from shared.knowledge.text import text_knowledge
from shared.knowledge.triples import graph_of
from tests.support.knowledge_texts import GRAPH, LABELS, TEXT_TASK, TEXTS
from tests.support.knowledge_texts import MAPPING as TEXT_MAPPING
from tests.support.networks import IMAGES
from tests.support.networks import records as small

HEART = read_heart_graph()


def test_rows_name_what_their_findings_are() -> None:
    records = read_heart()["hungary"]
    found = members(HEART, MAPPING, TASK, records, None)
    places = {column.name: place for place, column in enumerate(TASK.columns)}
    age, ca = records.inputs[:, places["age"]], records.inputs[:, places["ca"]]
    linked = [link.column for link in MAPPING.columns]
    older = found[:, linked.index("age")] == HEART.ids["older age"]
    np.testing.assert_array_equal(older, age >= 55)
    np.testing.assert_array_equal(found[:, linked.index("ca")][np.isnan(ca)], ABSENT)


def test_classes_without_an_entity_are_absent_and_neighbours_are_findings() -> None:
    bare = LabelMapping(classes={"yes": DISEASE})
    labels = dict(zip(TASK.labels, class_ids(HEART, bare, TASK).tolist(), strict=True))
    assert labels == {"yes": HEART.ids[DISEASE], "no": ABSENT}
    flags = class_findings(HEART, class_ids(HEART, MAPPING, TASK))
    order = {name: row for row, name in enumerate(MAPPING.class_entities(TASK))}
    assert flags[order[DISEASE], HEART.ids["typical angina"]]
    assert not flags[order[SOUND], HEART.ids["typical angina"]]
    assert not class_findings(HEART, np.array([ABSENT])).any()


def test_texts_name_what_was_found_in_them_and_images_nothing() -> None:
    knowledge = text_knowledge(GRAPH, TEXT_MAPPING, TEXT_TASK, TEXTS, LABELS)
    found = members(GRAPH, TEXT_MAPPING, TEXT_TASK, small(IMAGES, 3), knowledge)
    names = [{GRAPH.entities[entity] for entity in row if entity != ABSENT} for row in found]
    assert names[0] == {"cough", "fever"}
    assert names[-1] == set()
    assert (members(GRAPH, LabelMapping(classes={}), IMAGES, small(IMAGES, 3), None) == ABSENT).all()
    assert members(graph_of([]), LabelMapping(classes={}), IMAGES, small(IMAGES, 3), None).shape == (3, 1)
