"""The parts of the measurement of shared rows that could be wrong without anyone seeing it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.knowledge_shared import claims, embedded, ranked, settings, triples
from shared.knowledge.pretraining import Embeddings, first_embeddings
from shared.knowledge.triples import graph_of


def test_the_graph_is_the_seed_s() -> None:
    rows = triples(1)
    assert rows == triples(1) != triples(2)
    assert 4_000 < len({row[:3] for row in rows}) == len(rows) < 5_500


def test_a_right_tail_that_scores_above_all_others_has_rank_one_and_known_ones_do_not_count() -> None:
    graph = graph_of([("a", "r", "b", 1.0), ("a", "r", "c", 1.0), ("d", "r", "a", 1.0)])
    like = first_embeddings(graph, settings(graph, 0), 0, 0)
    entities = np.zeros_like(like.entities)
    # Real parts alone: the score of (a, r, x) is the first number of x.
    for name, score in {"a": 1.0, "b": 4.0, "c": 3.0, "d": 2.0}.items():
        entities[graph.ids[name], 0] = score
    relations = np.zeros_like(like.relations)
    relations[0, 0] = 1.0
    found = Embeddings(entities, relations, (), "complex")
    truth = {("a", "r", "b"), ("a", "r", "c")}
    assert ranked(graph, graph, found, [("a", "r", "b", 1.0)], truth) == 1.0
    assert ranked(graph, graph, found, [("a", "r", "c", 1.0)], truth) == 1.0, "b is above it, and true as well"
    assert ranked(graph, graph, found, [("a", "r", "c", 1.0)], {("a", "r", "c")}) == 0.5
    assert ranked(graph, graph, found, [("a", "r", "a", 1.0), ("nobody", "r", "a", 1.0)], {("a", "r", "a")}) == 0.25


def test_link_prediction_finds_what_it_has_seen() -> None:
    rows = triples(1)[:800]
    graph, truth = graph_of(rows), {row[:3] for row in rows}
    raw, learnt = (ranked(graph, graph, embedded(graph, 1, epochs), rows[:50], truth) for epochs in (0, 10))
    assert learnt > 5 * raw


def test_the_baseline_is_the_better_of_both_ways_alone() -> None:
    one = {"shared": 0.3, "alone": 0.1, "alone, 50 epochs": 0.2, "disturbed": 0.0}
    (shared, *_) = claims(0.5, [one])
    assert (shared.name, shared.baseline) == ("0.5.shared", pytest.approx(0.2))
