"""How far the labels bear a graph out: its temperature, its share and the trust that scales every knowledge term.

Trust is the safeguard against a graph that is wrong, off the task or shuffled: such a graph is given a weight near 0, and the
student learns as if it were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from shared.knowledge.evidence import Manner, likelihoods, log_evidence

HOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""The shares that are tried, in each manner."""
MANNERS: tuple[Manner, ...] = ("share", "odds")
LEAST = 0.1
"""A trust below this is 0: the graph is left out, for no term of it has a weight then."""
COLDEST, HOTTEST = -8.0, 1.5
"""Bounds of the logarithm of the factor on the evidence."""


@dataclass(frozen=True)
class Calibration:
    """``factor``: what the log evidence is multiplied with (1: groups are as independent as supposed; near 0: it tells nothing);
    ``trust``: in [0, 1], the share of the labels' surprise that the graph takes away; ``hold`` and ``manner``: how the graph was read;
    ``prior`` ``(classes,)``: shares of the classes.
    """

    factor: float
    trust: float
    hold: float
    prior: NDArray[np.float64]
    manner: Manner = "share"

    def targets(self, evidence: NDArray[np.float64], prior: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """P(class | findings) ``(records, classes)`` as the graph has it: softmax of ``factor · evidence + log prior``.

        ``prior`` ``(classes,)``: the shares to suppose, else those of the labels; it need not sum to 1.
        """
        return np.exp(_log_softmax(self.factor * evidence + np.log(self.prior if prior is None else prior)))


def class_prior(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Shares of the classes among ``labels`` (none negative), one of each added ``(classes,)``."""
    counts = np.bincount(labels, minlength=classes) + 1.0
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def calibrate(
    evidence: NDArray[np.float64], labels: NDArray[np.int64], *, hold: float = 0.5, manner: Manner = "share", fitted: int = 1
) -> Calibration:
    """The factor with the least mean surprise of ``labels``, and the trust that follows.

    ``evidence``: ``(records, classes)``; ``labels``: ``(records,)``, all known. With ``L(f)`` the mean of ``-log P(label)`` at factor
    ``f`` and ``L(0)`` that of the class prior alone, ``trust = 1 - (L(f) + k/n) / L(0)``, or 0 below :data:`LEAST`; ``k/n`` pays for
    the ``fitted`` numbers that the labels chose (Akaike 1974). The evidence has seen no label, so there is nothing to hold out. No
    records: trust 0.
    """
    count, classes = evidence.shape
    prior = class_prior(labels, classes)
    if count == 0:
        return Calibration(0.0, 0.0, hold, prior, manner)
    rows = np.arange(count)

    def surprise(log_factor: float) -> float:
        return float(-_log_softmax(np.exp(log_factor) * evidence + np.log(prior))[rows, labels].mean())

    best = minimize_scalar(surprise, bounds=(COLDEST, HOTTEST), method="bounded")
    alone = float(-np.log(prior[labels]).mean())
    trust = 1.0 - (float(best.fun) + fitted / count) / alone
    return Calibration(float(np.exp(best.x)), trust if trust >= LEAST else 0.0, hold, prior, manner)


def best_calibration(
    held: NDArray[np.bool_],
    marginals: NDArray[np.float64],
    findings: NDArray[np.int64],
    labels: NDArray[np.int64],
    holds: Sequence[float] = HOLDS,
) -> Calibration:
    """The calibration of the hold and manner that the labels bear out best; shapes as in :mod:`shared.knowledge.evidence`.

    ``findings`` and ``labels`` are of the labelled records; the marginals may rest on many more.
    """

    def tried(hold: float, manner: Manner) -> Calibration:
        evidence = log_evidence(likelihoods(held, marginals, hold, manner), findings)
        return calibrate(evidence, labels, hold=hold, manner=manner, fitted=3)

    return max((tried(hold, manner) for manner in MANNERS for hold in holds), key=lambda one: one.trust)


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
