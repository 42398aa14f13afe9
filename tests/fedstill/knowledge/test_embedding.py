"""A graph embedded into a file, with what held-out triples say of it; stopped, it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedstill.knowledge import embedding
from fedstill.knowledge.embedding import Embedding, embed_graph, settings_of
from shared.errors import ConfigError
from shared.knowledge.embedding_file import load_embeddings
from shared.knowledge.pretraining import PretrainingSettings, pretrain
from shared.knowledge.ranking import held_out
from shared.knowledge.triples import Graph, graph_of

GRAPH = graph_of([(f"{clan}{a}", "knows", f"{clan}{b}", 1.0) for clan in "xyz" for a in range(6) for b in range(6) if a != b])
SETTINGS = PretrainingSettings(width=8, epochs=30, batch=16)


def ignore(done: int, total: int) -> None:
    pass


def test_the_file_is_a_fit_without_the_held_out_triples_which_it_completes(tmp_path: Path) -> None:
    told = {"epoch": list[tuple[int, int]](), "rank": list[tuple[int, int]]()}
    plan = Embedding(tmp_path / "e.safetensors", SETTINGS, seed=3, held_out=7)
    found = embed_graph(GRAPH, plan, on_epoch=lambda *step: told["epoch"].append(step), on_rank=lambda *step: told["rank"].append(step))
    learnt, unseen = held_out(GRAPH, 7, 3)
    stored = load_embeddings(plan.out)
    np.testing.assert_array_equal(stored.entities, pretrain(learnt, SETTINGS, 3).entities)
    assert (stored.card.graph, stored.card.entities) == (learnt.digest(), GRAPH.entities)
    assert (found.triples, found.held_out, found.epochs) == (83, 7, 30)
    assert len(unseen) == 7
    assert found.completion is not None
    assert found.popularity is not None
    # Clans are all that there is to learn, and popularity knows none.
    assert found.completion.mrr > 2 * found.popularity.mrr
    assert [steps[-1] for steps in told.values()] == [(30, 30), (14, 14)]
    assert not plan.kept.exists()


def test_nothing_held_out_means_no_figures_and_all_triples_learnt(tmp_path: Path) -> None:
    found = embed_graph(GRAPH, Embedding(tmp_path / "e", SETTINGS, held_out=0), on_epoch=ignore, on_rank=ignore)
    assert (found.triples, found.held_out, found.completion, found.popularity) == (90, 0, None, None)


def test_a_dated_graph_is_learnt_once_a_triple_and_its_latest_are_held_out(tmp_path: Path) -> None:
    twice = np.concatenate([GRAPH.triples, GRAPH.triples])
    times = np.arange(len(twice), dtype=np.int64)
    dated = Graph(GRAPH.entities, GRAPH.relations, twice, np.ones(len(twice), dtype=np.float32), times)
    found = embed_graph(dated, Embedding(tmp_path / "e", SETTINGS, held_out=5), on_epoch=ignore, on_rank=ignore)
    assert (found.triples, found.held_out) == (85, 5)


def test_stopped_at_any_point_the_same_call_ends_at_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Embedding(tmp_path / "whole", SETTINGS)
    embed_graph(GRAPH, whole, on_epoch=ignore, on_rank=ignore)
    monkeypatch.setattr(embedding, "Resume", lambda path, key: _always(path, key))
    for name, at, ranks in (("epoch", 12, False), ("rank", 1, True)):
        plan = Embedding(tmp_path / name, SETTINGS)

        def stop(done: int, total: int, at: int = at) -> None:
            if done >= at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            embed_graph(GRAPH, plan, on_epoch=ignore if ranks else stop, on_rank=stop if ranks else ignore)
        assert plan.kept.exists()
        assert not plan.out.exists()
        embed_graph(GRAPH, plan, on_epoch=ignore, on_rank=ignore)
        assert plan.out.read_bytes() == whole.out.read_bytes()
        assert not plan.kept.exists()


def _always(path: Path, key: str) -> object:
    from shared.distill.resume import Resume

    return Resume(path, key, interval_s=0.0)


def test_settings_are_the_defaults_but_for_what_is_named() -> None:
    assert settings_of("complex") == PretrainingSettings()
    assert settings_of("rotate", width=8, epochs=3) == PretrainingSettings(model="rotate", width=8, epochs=3)
    with pytest.raises(ConfigError, match="'width'"):
        settings_of("complex", width=7)
