"""Records that nobody has: findings drawn from what a graph says of a class, with the graph's own answer as target.

They are how knowledge ends up in the student's weights. A graph says as much about classes that no record shows as about the
common ones, and an endless stream of imagined records carries it all, where the few real records would only repeat what their
labels tell already. They are drawn anew for each round and never leave the institution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.knowledge.evidence import log_evidence
from shared.knowledge.trust import Calibration

CHUNK = 2048
"""Records drawn at a time: a draw holds ``(records, groups, widest)`` numbers."""


@dataclass(frozen=True)
class Imagination:
    """Draws findings from ``probabilities`` ``(classes, groups, widest)`` and answers them as ``calibration`` has it."""

    probabilities: NDArray[np.float64]
    calibration: Calibration

    def draw(self, count: int, random: np.random.Generator, prior: NDArray[np.float64]) -> NDArray[np.int64]:
        """Findings ``(count, groups)`` of classes drawn by the shares ``prior`` ``(classes,)``."""
        classes = random.choice(len(prior), count, p=prior)
        rising = self.probabilities[classes].cumsum(axis=2)
        drawn = random.random((count, self.probabilities.shape[1], 1))
        # Past the last alternative of its group a row of sums stays at 1, up to rounding: the drawn number must lie below it.
        findings: NDArray[np.int64] = (rising < drawn * rising[:, :, -1:]).sum(axis=2)
        return findings

    def pool(self, count: int, random: np.random.Generator, prior: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """``count`` findings, drawn once to serve the batches of a round. ``prior``: shares of the classes; none: all alike, for rare
        ones are what records teach least.
        """
        shares = self._shares(prior)
        drawn = [self.draw(min(CHUNK, count - start), random, shares) for start in range(0, count, CHUNK)]
        return np.concatenate(drawn) if drawn else np.empty((0, self.probabilities.shape[1]), dtype=np.int64)

    def targets(self, findings: NDArray[np.int64], prior: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """P(class | findings) ``(records, classes)`` for classes of the same shares as they were drawn by."""
        return self.calibration.targets(log_evidence(self.probabilities, findings), self._shares(prior)).astype(np.float32)

    def _shares(self, prior: NDArray[np.float64] | None) -> NDArray[np.float64]:
        classes = len(self.probabilities)
        return np.full(classes, 1.0 / classes) if prior is None else prior / prior.sum()
