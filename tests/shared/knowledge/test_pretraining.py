from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from shared.errors import KnowledgeError
from shared.knowledge.pretraining import PretrainingSettings, pretrain
from shared.knowledge.triples import graph_of

CLANS = graph_of([(f"{clan}{a}", "knows", f"{clan}{b}", 1.0) for clan in "xy" for a in range(6) for b in range(6) if a != b])


@pytest.mark.parametrize("model", ["distmult", "complex", "rotate"])
def test_entities_that_share_neighbours_come_close(model: Literal["distmult", "complex", "rotate"]) -> None:
    settings = PretrainingSettings(model=model, width=8, epochs=60, batch=16)
    found = pretrain(CLANS, settings, seed=1)
    assert found.entities.shape == (12, 8)
    assert found.losses[-1] < found.losses[0]
    unit = found.entities / np.linalg.norm(found.entities, axis=1, keepdims=True)
    alike = unit @ unit.T
    clan = np.array([name[0] == "x" for name in CLANS.entities])
    same = clan[:, None] == clan[None, :]
    assert alike[same & ~np.eye(12, dtype=bool)].mean() > alike[~same].mean() + 0.2


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    settings = PretrainingSettings(width=4, epochs=2)
    one, again, other = (pretrain(CLANS, settings, seed).entities for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_graph_without_triples_is_refused() -> None:
    with pytest.raises(KnowledgeError, match="without triples"):
        pretrain(graph_of([], entities=["a"]), PretrainingSettings(), 0)
