"""Entities that no embedding was learnt for are like their neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.errors import KnowledgeError
from shared.knowledge.embedding_file import StoredEmbeddings, load_embeddings, save_embeddings
from shared.knowledge.inductive import MOST_HOPS, carried_over, inducted
from shared.knowledge.pretraining import PretrainingSettings, pretrain
from shared.knowledge.triples import Graph, graph_of

WIDTH = 4
SETTINGS = PretrainingSettings(width=WIDTH, epochs=3)
OLD = graph_of([("ann", "pays", "shop", 1.0), ("bob", "pays", "shop", 1.0), ("bob", "pays", "inn", 1.0)])
NEW = [("eve", "pays", "shop", 1.0), ("eve", "pays", "inn", 1.0), ("mule", "pays", "eve", 1.0), ("far", "pays", "away", 1.0)]
GROWN = graph_of([*OLD.rows(), *NEW])


@pytest.fixture
def stored(tmp_path: Path) -> StoredEmbeddings:
    save_embeddings(tmp_path / "old", OLD, pretrain(OLD, SETTINGS, 1), SETTINGS, 1)
    return load_embeddings(tmp_path / "old")


def row(table: np.ndarray, name: str, graph: Graph = GROWN) -> np.ndarray:
    found: np.ndarray = table[graph.ids[name]]
    return found


def test_known_entities_keep_their_embeddings_and_new_ones_are_the_mean_of_their_neighbours(stored: StoredEmbeddings) -> None:
    table = carried_over(GROWN, stored, WIDTH)
    for place, name in enumerate(OLD.entities):
        np.testing.assert_array_equal(row(table, name), stored.entities[place])
    own = stored.entities[[OLD.ids["inn"], OLD.ids["shop"]]].mean(axis=0)
    np.testing.assert_allclose(row(table, "eve"), own, rtol=1e-6)
    np.testing.assert_allclose(row(table, "mule"), own, rtol=1e-6)
    assert not row(table, "far").any()
    assert not row(table, "away").any()


def test_a_chain_of_new_entities_is_followed_only_so_far() -> None:
    graph = graph_of([(f"{place:02}", "r", f"{place + 1:02}", 1.0) for place in range(20)])
    known = np.arange(21) == 0
    found = inducted(graph, np.where(known[:, None], 1.0, 0.0).astype(np.float32), known)
    assert found[:, 0].tolist() == [1.0] * (1 + MOST_HOPS) + [0.0] * (20 - MOST_HOPS)


def test_the_same_graph_gives_what_was_stored(stored: StoredEmbeddings) -> None:
    np.testing.assert_array_equal(carried_over(OLD, stored, WIDTH), stored.entities)


def test_an_entity_without_triples_is_not_stored_but_inducted_later(tmp_path: Path) -> None:
    early = GROWN.take(np.array([name != "mule" for name, *_ in GROWN.rows()]))
    assert "mule" in early.entities
    save_embeddings(tmp_path / "early", early, pretrain(early, SETTINGS, 1), SETTINGS, 1)
    kept = load_embeddings(tmp_path / "early")
    assert "mule" not in kept.card.entities
    table = carried_over(GROWN, kept, WIDTH)
    np.testing.assert_array_equal(row(table, "mule"), row(table, "eve"))


def test_embeddings_of_another_width_or_of_another_world_are_refused(stored: StoredEmbeddings) -> None:
    with pytest.raises(KnowledgeError, match=r"4 wide and the federation's are 8.*--dim 8"):
        carried_over(GROWN, stored, 8)
    with pytest.raises(KnowledgeError, match="no entity of the graph is in the file"):
        carried_over(graph_of([("x", "r", "y", 1.0)]), stored, WIDTH)


@given(some.lists(some.tuples(some.integers(0, 7), some.integers(0, 7)), min_size=1, max_size=20), some.integers(0, 2**8 - 1))
def test_an_inducted_row_lies_among_the_known_ones_and_known_ones_stay(edges: list[tuple[int, int]], flags: int) -> None:
    graph = graph_of([(str(head), "r", str(tail), 1.0) for head, tail in edges], entities=[str(one) for one in range(8)])
    known = np.array([bool(flags >> place & 1) for place in range(8)])
    table = np.where(known[:, None], np.arange(1.0, 17.0).reshape(8, 2), 0.0).astype(np.float32)
    found = inducted(graph, table, known)
    np.testing.assert_array_equal(found[known], table[known])
    reached = found.any(axis=1)
    if known.any():
        assert (found[reached] >= table[known].min(axis=0) - 1e-4).all()
        assert (found[reached] <= table[known].max(axis=0) + 1e-4).all()
    else:
        assert not reached.any()
