"""Built-in handwritten digits: 1,797 images of 8 × 8, dealt to five sites that differ in which digits they have.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998), as scikit-learn carries it.
"""

from __future__ import annotations

import numpy as np

from shared.data.records import Records
from shared.task import ImageTask

SITES = 5
TASK = ImageTask(family="image", labels=tuple("0123456789"), size=8, channels=1)


def read_digits() -> Records:
    """All images, ``uint8 (1797, 8, 8, 1)``: the source's 0 to 16 spread over 0 to 255."""
    # Here, for scikit-learn takes seconds to import and no other reader needs it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(np.asarray(bunch.images) * (255 / 16)).astype(np.uint8)
    return Records(images[..., np.newaxis], np.asarray(bunch.target).astype(np.int64))
