from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from shared.data.heart import TASK, read_heart
from shared.data.records import UNLABELLED, Records
from shared.errors import KnowledgeError
from shared.knowledge.heart import MAPPING, read_heart_graph
from shared.knowledge.tabular import tabular_knowledge
from shared.knowledge.triples import graph_of

CLEVELAND = read_heart()["cleveland"]


def labelled(count: int) -> Records:
    labels = np.full_like(CLEVELAND.labels, UNLABELLED)
    labels[:count] = CLEVELAND.labels[:count]
    return dataclasses.replace(CLEVELAND, labels=labels)


def test_imagined_records_are_records_of_the_task_that_the_graph_answers_alike() -> None:
    knowledge = tabular_knowledge(read_heart_graph(), MAPPING, TASK, CLEVELAND)
    inputs, answers = knowledge.pool(500, np.random.default_rng(0))
    assert inputs.shape == (500, len(TASK.columns))
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=1e-5)
    # Read back from the raw records, findings have the very answers that came with them.
    known = ~np.isnan(inputs).any(axis=1)
    np.testing.assert_array_equal(knowledge.imagination.targets(MAPPING.findings(TASK, inputs[known])), answers[known])


def test_a_few_labels_are_enough_for_trust_and_none_gives_none() -> None:
    graph = read_heart_graph()
    assert tabular_knowledge(graph, MAPPING, TASK, labelled(0)).trust == 0.0
    assert tabular_knowledge(graph, MAPPING, TASK, labelled(60)).trust > 0.1


def test_an_equal_seed_imagines_equal_records() -> None:
    knowledge = tabular_knowledge(read_heart_graph(), MAPPING, TASK, CLEVELAND)
    one, other = (knowledge.pool(50, np.random.default_rng(4))[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_graph_that_ties_nothing_is_refused() -> None:
    names = list(MAPPING.classes.values())
    loose = graph_of([("a", relation, "b", 1.0) for relation in MAPPING.relations], entities=names)
    with pytest.raises(KnowledgeError, match="no class is within 2 triples"):
        tabular_knowledge(loose, MAPPING, TASK, CLEVELAND)
