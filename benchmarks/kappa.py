"""Quadratic weighted kappa (Cohen 1968): agreement of two gradings, beyond chance, in which far misses cost more.

``1 - sum(w * observed) / sum(w * expected)`` with ``w[i, j] = (i - j)^2``: 1 is perfect, 0 is chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score


def quadratic_weighted_kappa(labels: NDArray[np.integer], predicted: NDArray[np.integer], grades: int) -> float:
    """The kappa of two gradings ``(records,)`` in ``0 .. grades - 1``; 0 where one of them is constant.

    Raises ``ValueError`` without records or where a grade is out of range.
    """
    if not len(labels) or len(labels) != len(predicted):
        raise ValueError(f"cannot compare {len(labels)} labels with {len(predicted)} predictions")
    both = np.concatenate([labels, predicted])
    if both.min() < 0 or both.max() >= grades:
        raise ValueError(f"grades must lie in 0 .. {grades - 1}")
    if np.ptp(labels) == 0 or np.ptp(predicted) == 0:
        return 0.0  # a constant grading agrees with nothing beyond chance
    return float(cohen_kappa_score(labels, predicted, weights="quadratic", labels=np.arange(grades)))
