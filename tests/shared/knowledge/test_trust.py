from __future__ import annotations

import numpy as np
import pytest

from shared.knowledge.evidence import likelihoods, log_evidence
from shared.knowledge.trust import Calibration, best_calibration, calibrate, class_prior

RANDOM = np.random.default_rng(3)
HELD = RANDOM.random((5, 12, 2)) < 0.4
HELD &= ~HELD.all(axis=2, keepdims=True)
MARGINALS = np.full((12, 2), 0.5)


def world(count: int, hold: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Findings and classes as a graph of this share would make them."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, count)
    findings = (random.random((count, 12)) > likelihoods(HELD, MARGINALS, hold)[labels, :, 0]).astype(np.int64)
    return findings, labels


def test_a_true_graph_is_trusted_and_its_share_found() -> None:
    findings, labels = world(3000, 0.8, 0)
    found = best_calibration(HELD, MARGINALS, findings, labels)
    assert found.hold == 0.8
    assert found.factor == pytest.approx(1.0, abs=0.1)
    assert 0.3 < found.trust < 0.9


def test_labels_without_a_bond_to_the_graph_get_no_trust() -> None:
    findings, labels = world(400, 0.8, 1)
    dealt = np.random.default_rng(2).permutation(labels)
    assert best_calibration(HELD, MARGINALS, findings, dealt).trust == 0.0
    evidence = log_evidence(likelihoods(HELD, MARGINALS, 0.8), findings)
    assert calibrate(-evidence, labels).trust == 0.0


def test_the_factor_has_the_least_surprise() -> None:
    findings, labels = world(300, 0.7, 4)
    evidence = log_evidence(likelihoods(HELD, MARGINALS, 0.9), findings)
    found = calibrate(evidence, labels)

    def surprise(factor: float) -> float:
        answers = Calibration(factor, 0.0, 0.5, found.prior).targets(evidence)
        return float(-np.log(answers[np.arange(300), labels]).mean())

    assert surprise(found.factor) <= min(surprise(found.factor * step) for step in (0.5, 0.9, 1.1, 2.0))


def test_without_records_there_is_no_trust_and_an_even_prior() -> None:
    found = calibrate(np.empty((0, 4)), np.empty(0, dtype=np.int64))
    assert found.trust == 0.0
    np.testing.assert_allclose(found.prior, 0.25)
    np.testing.assert_allclose(class_prior(np.array([0, 0, 1]), 3), [0.5, 1 / 3, 1 / 6])
