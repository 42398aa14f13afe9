from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.distill.resume import Resume
from shared.errors import KnowledgeError
from shared.knowledge.predictor import Model
from shared.knowledge.pretraining import PretrainingSettings, batch_of, first_embeddings, fit_key, pretrain
from shared.knowledge.triples import graph_of

CLANS = graph_of([(f"{clan}{a}", "knows", f"{clan}{b}", 1.0) for clan in "xy" for a in range(6) for b in range(6) if a != b])


@pytest.mark.parametrize("model", ["distmult", "complex", "rotate"])
def test_entities_that_share_neighbours_come_close(model: Model) -> None:
    settings = PretrainingSettings(model=model, width=8, epochs=40, batch=16)
    clan = np.array([name[0] == "x" for name in CLANS.entities])
    same = clan[:, None] == clan[None, :]
    gaps = []
    # RotatE stays in a bad place from one of four seeds here, so the median counts.
    for seed in range(3):
        found = pretrain(CLANS, settings, seed)
        assert found.entities.shape == (12, 8)
        assert found.relations.shape == (1, 4 if model == "rotate" else 8)
        assert found.losses[-1] < found.losses[0]
        unit = found.entities / np.linalg.norm(found.entities, axis=1, keepdims=True)
        alike = unit @ unit.T
        gaps.append(alike[same & ~np.eye(12, dtype=bool)].mean() - alike[~same].mean())
    assert np.median(gaps) > 0.2


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    settings = PretrainingSettings(width=4, epochs=2)
    one, again, other = (pretrain(CLANS, settings, seed).entities for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_predictor_has_the_numbers() -> None:
    found = pretrain(CLANS, PretrainingSettings(width=4, epochs=1), 0)
    model = found.predictor()
    assert model.model == "complex"
    np.testing.assert_array_equal(model.entities.detach().numpy(), found.entities)
    np.testing.assert_array_equal(model.relations.detach().numpy(), found.relations)


@pytest.mark.parametrize("stopped", [1, 4])
def test_a_fit_that_is_stopped_goes_on_to_the_same_bits(tmp_path: Path, stopped: int) -> None:
    settings = PretrainingSettings(width=4, epochs=6, batch=16)
    key = fit_key(CLANS, settings, 5)

    def stop(done: int, total: int) -> None:
        assert total == 6
        # What was kept is that of the epoch before.
        if done == stopped + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(CLANS, settings, 5, on_epoch=stop, resume=Resume(tmp_path / "fit", key, interval_s=0.0))
    seen = list[int]()
    again = pretrain(CLANS, settings, 5, on_epoch=lambda done, _: seen.append(done), resume=Resume(tmp_path / "fit", key))
    whole = pretrain(CLANS, settings, 5)
    assert seen == list(range(stopped + 1, 7))
    np.testing.assert_array_equal(again.entities, whole.entities)
    np.testing.assert_array_equal(again.relations, whole.relations)
    assert again.losses == whole.losses


def test_a_key_depends_on_graph_settings_and_seed() -> None:
    settings = PretrainingSettings(width=4)
    other = graph_of([*CLANS.rows(), ("x0", "knows", "y0", 1.0)])
    changed = [(other, settings, 0), (CLANS, PretrainingSettings(width=6), 0), (CLANS, settings, 1)]
    assert len({fit_key(CLANS, settings, 0), *(fit_key(*one) for one in changed)}) == 4


@pytest.mark.parametrize("graph", [graph_of([], entities=["a", "b"]), graph_of([("a", "r", "a", 1.0)])])
def test_a_graph_without_triples_or_with_a_single_entity_is_refused(graph: object) -> None:
    with pytest.raises(KnowledgeError, match="without triples, or with a single entity"):
        pretrain(graph, PretrainingSettings(), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["distmult", "complex", "rotate"])
def test_it_goes_on_from_where_it_is_told_to(model: Model) -> None:
    none, some = (PretrainingSettings(model=model, width=4, epochs=epochs) for epochs in (0, 3))
    start = pretrain(CLANS, some, seed=1)
    same = pretrain(CLANS, none, seed=2, start=start)
    np.testing.assert_array_equal(same.flat(), start.flat())
    further = pretrain(CLANS, some, seed=2, start=start)
    assert further.flat().tobytes() not in (start.flat().tobytes(), pretrain(CLANS, some, seed=2).flat().tobytes())
    again = start.refilled(further.flat())
    np.testing.assert_array_equal(again.entities, further.entities)
    np.testing.assert_array_equal(again.relations, further.relations)


@pytest.mark.parametrize("model", ["distmult", "complex", "rotate"])
def test_relations_begin_by_their_name_and_what_is_agreed_and_entities_by_one_s_own_seed(model: Model) -> None:
    other = graph_of([("a", "Knows ", "b", 1.0), ("a", "avoids", "b", 1.0)])
    settings = PretrainingSettings(model=model, width=4)
    one, two = first_embeddings(CLANS, settings, seed=1, agreed=5), first_embeddings(other, settings, seed=2, agreed=5)
    apart = first_embeddings(CLANS, settings, seed=1, agreed=6)
    np.testing.assert_array_equal(one.relations[0], two.relations[0])
    assert not np.array_equal(two.relations[0], two.relations[1])
    assert not np.array_equal(one.relations, apart.relations)
    np.testing.assert_array_equal(one.entities, apart.entities)
    assert one.entities[:2].tobytes() != two.entities.tobytes()
    assert pretrain(CLANS, settings, 3, start=one).relations.shape == one.relations.shape


@pytest.mark.parametrize(("triples", "batch"), [(49, 64), (2000, 125), (1_000_000, 4096)])
def test_small_graphs_take_some_steps_an_epoch_and_large_ones_full_batches(triples: int, batch: int) -> None:
    assert batch_of(triples) == batch
