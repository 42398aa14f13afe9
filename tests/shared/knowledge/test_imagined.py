from __future__ import annotations

import numpy as np

from shared.knowledge.evidence import likelihoods
from shared.knowledge.imagined import Imagination
from shared.knowledge.trust import Calibration

HELD = np.random.default_rng(3).random((5, 12, 2)) < 0.4
MARGINALS = np.full((12, 2), 0.5)


def test_imagined_records_have_the_shares_they_were_drawn_with() -> None:
    marginals = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    held = np.array([[[True, False, False], [False, False, True]], [[False, True, False], [True, False, False]]])
    shares = likelihoods(held, marginals, 0.7)
    imagination = Imagination(shares, Calibration(1.0, 1.0, 0.7, np.array([0.5, 0.5])))
    findings = imagination.pool(40_000, np.random.default_rng(0))
    targets = imagination.targets(findings)
    assert (findings[:, 0] < 2).all()
    for place in range(2):
        np.testing.assert_allclose(np.bincount(findings[:, place], minlength=3) / 40_000, shares[:, place].mean(axis=0), atol=0.01)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-5)
    # Bayes: among records with one answer for class 0, that share of them was drawn for it.
    np.testing.assert_allclose(targets[:, 0].mean(), 0.5, atol=0.01)


def test_a_pool_of_any_size_and_an_equal_seed_is_the_same() -> None:
    imagination = Imagination(likelihoods(HELD, MARGINALS, 0.8), Calibration(0.9, 1.0, 0.8, np.full(5, 0.2)))
    one, other = (imagination.pool(2500, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert imagination.pool(0, np.random.default_rng(1)).shape == (0, 12)


def test_classes_come_by_their_shares_and_the_answers_suppose_the_same() -> None:
    shares = np.array([0.6, 0.2, 0.1, 0.05, 0.05])
    imagination = Imagination(likelihoods(HELD, MARGINALS, 0.8), Calibration(1.0, 1.0, 0.8, np.full(5, 0.2)))
    findings = imagination.pool(40_000, np.random.default_rng(2), shares * 7)
    np.testing.assert_allclose(imagination.targets(findings, shares).mean(axis=0), shares, atol=0.01)
