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

    def draw(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Findings ``(count, groups)`` of classes drawn evenly: rare classes are what records teach least."""
        classes = random.integers(0, len(self.probabilities), count)
        rising = self.probabilities[classes].cumsum(axis=2)
        drawn = random.random((count, self.probabilities.shape[1], 1))
        # Past the last alternative of its group a row of sums stays at 1, up to rounding: the drawn number must lie below it.
        findings: NDArray[np.int64] = (rising < drawn * rising[:, :, -1:]).sum(axis=2)
        return findings

    def pool(self, count: int, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """``count`` findings and their targets: drawn once, they serve the batches of a round."""
        drawn = [self.draw(min(CHUNK, count - start), random) for start in range(0, count, CHUNK)]
        findings = np.concatenate(drawn) if drawn else np.empty((0, self.probabilities.shape[1]), dtype=np.int64)
        return findings, self.targets(findings)

    def targets(self, findings: NDArray[np.int64]) -> NDArray[np.float32]:
        """P(class | findings) ``(records, classes)`` with even classes, as they were drawn."""
        return self.calibration.targets(log_evidence(self.probabilities, findings), prior=False).astype(np.float32)
