"""Random numbers that depend on a seed and on what they are for, and on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for each ``purpose``: SHA-256 over seed and purpose, so that no two uses share a stream."""
    text = "\x1f".join(str(part) for part in ("fedstill-data", seed, *purpose))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "little"))
