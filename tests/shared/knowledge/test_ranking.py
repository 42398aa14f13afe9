"""Ranks against a plain count, what may be held out, and the baseline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.knowledge import ranking
from shared.knowledge.predictor import LinkPredictor, Side
from shared.knowledge.ranking import Learnt, Popularity, Ranks, filtered_ranks, held_out
from shared.knowledge.triples import Graph, graph_of

NAMES = st.sampled_from([f"e{number}" for number in range(7)])
GRAPHS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s"]), NAMES, st.just(1.0)), min_size=1, max_size=60).map(graph_of)


class Table:
    """Scores from a table of small whole numbers, so that many tie."""

    def __init__(self, graph: Graph, seed: int) -> None:
        shape = (len(graph.entities), len(graph.relations), len(graph.entities))
        self.values = np.random.default_rng(seed).integers(0, 4, shape).astype(np.float32)

    def scores(self, known: NDArray[np.int64], relations: NDArray[np.int64], side: Side) -> NDArray[np.float32]:
        return np.stack([self.values[k, r, :] if side == "tail" else self.values[:, r, k] for k, r in zip(known, relations, strict=True)])


@given(GRAPHS, st.integers(0, 99))
def test_ranks_are_a_plain_count_of_what_scores_above_and_is_not_true(graph: Graph, seed: int) -> None:
    table = Table(graph, seed)
    true = {tuple(row) for row in graph.triples.tolist()}
    found = filtered_ranks(table, graph, graph.triples).values
    for (head, relation, tail), ranks in zip(graph.triples.tolist(), found, strict=True):
        own = table.values[head, relation, tail]
        tails = [table.values[head, relation, e] for e in range(len(graph.entities)) if e == tail or (head, relation, e) not in true]
        heads = [table.values[e, relation, tail] for e in range(len(graph.entities)) if e == head or (e, relation, tail) not in true]
        for rank, scores in zip(ranks, (tails, heads), strict=True):
            above, ties = sum(score > own for score in scores), sum(score == own for score in scores) - 1
            assert rank == 1 + above + ties / 2


@given(GRAPHS, st.integers(0, 9))
def test_ranking_a_few_at_a_time_is_ranking_all_and_every_step_is_told(graph: Graph, seed: int) -> None:
    whole = filtered_ranks(Table(graph, seed), graph, graph.triples).values
    told = list[tuple[int, int]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "CELLS", 3 * len(graph.entities))
        parts = filtered_ranks(Table(graph, seed), graph, graph.triples, on_step=lambda done, total: told.append((done, total))).values
    np.testing.assert_array_equal(parts, whole)
    assert told[-1] == (2 * len(graph), 2 * len(graph))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@given(GRAPHS, st.integers(0, 50), st.integers(0, 9))
def test_what_is_held_out_leaves_something_to_learn_of_each_end_and_relation(graph: Graph, most: int, seed: int) -> None:
    learnt, unseen = held_out(graph, most, seed)
    assert len(unseen) <= min(most, len(graph) // 10)
    assert sorted([*learnt.triples.tolist(), *unseen.tolist()]) == sorted(graph.triples.tolist())
    ends, kinds = set(learnt.triples[:, [0, 2]].reshape(-1).tolist()), set(learnt.triples[:, 1].tolist())
    assert set(unseen[:, [0, 2]].reshape(-1).tolist()) <= ends
    assert set(unseen[:, 1].tolist()) <= kinds
    np.testing.assert_array_equal(held_out(graph, most, seed)[1], unseen)


@given(GRAPHS, st.integers(0, 9))
def test_of_a_dated_graph_the_latest_are_held_out_where_ends_allow_it(graph: Graph, seed: int) -> None:
    times = np.random.default_rng(seed).permutation(len(graph)).astype(np.int64)
    dated = Graph(graph.entities, graph.relations, graph.triples, graph.weights, times)
    learnt, unseen = held_out(dated, 3, seed)
    assert learnt.times is not None
    other, again = held_out(dated, 3, seed + 1)
    np.testing.assert_array_equal(again, unseen)
    assert other == learnt


def test_without_limits_the_latest_come_first() -> None:
    rows = [("a", "r", f"t{number % 5}", 1.0) for number in range(5)] * 4
    graph = graph_of([(f"h{number // 5}", *row[1:]) for number, row in enumerate(rows)])
    dated = Graph(graph.entities, graph.relations, graph.triples, graph.weights, np.arange(20, dtype=np.int64)[::-1].copy())
    learnt, unseen = held_out(dated, 2, 0)
    assert learnt.times is not None
    assert learnt.times.max() == 17
    assert len(unseen) == 2


def test_popularity_counts_ends_of_a_relation_and_sees_nothing_else() -> None:
    graph = graph_of([("a", "r", "x", 1.0), ("b", "r", "x", 1.0), ("a", "r", "y", 1.0), ("y", "s", "a", 1.0)])
    found = Popularity(graph).scores(np.array([0, 1, 0]), np.array([0, 0, 1]), "tail")
    assert graph.entities == ("a", "b", "x", "y")
    assert found.tolist() == [[0, 0, 2, 1], [0, 0, 2, 1], [1, 0, 0, 0]]
    assert Popularity(graph).scores(np.array([2]), np.array([0]), "head").tolist() == [[2, 1, 0, 0]]


def test_a_learnt_model_scores_as_it_does_alone() -> None:
    model = LinkPredictor("complex", 5, 2, 4, torch.Generator().manual_seed(0))
    known, relations = np.array([1, 4]), np.array([0, 1])
    after, before = (Learnt(model).scores(known, relations, side) for side in ranking.SIDES)
    for row, (entity, relation) in enumerate(zip(known.tolist(), relations.tolist(), strict=True)):
        other = torch.arange(5)
        same, kind = torch.full((5,), entity), torch.full((5,), relation)
        np.testing.assert_allclose(after[row], model(same, kind, other).detach().numpy(), rtol=1e-5)
        np.testing.assert_allclose(before[row], model(other, kind, same).detach().numpy(), rtol=1e-5)


def test_figures_of_ranks() -> None:
    ranks = Ranks(np.array([[1.0, 2.0], [4.0, 20.0]]))
    assert ranks.mrr == pytest.approx((1 + 0.5 + 0.25 + 0.05) / 4)
    assert ranks.hits(10) == 0.75
    assert ranks.hits(1) == 0.25
