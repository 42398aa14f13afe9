"""Torch's random numbers from a seed and a purpose, never from the process: no global generator is read or changed."""

from __future__ import annotations

import hashlib

import torch

OWN_NUMBERS = ("cuda", "mps")
"""Devices that draw for themselves."""


def derive(seed: int, *purpose: str | int) -> int:
    """A seed of its own (0 to 2^63 - 1) for each ``purpose``: SHA-256 over seed and purpose, each part with its length before it."""
    parts = [str(part).encode() for part in ("fedstill/torch/v1", seed, *purpose)]
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: torch.device | None = None) -> torch.Generator:
    """A generator of its own for each ``purpose``, on the CPU or on a GPU ``device``, whose numbers are others than the CPU's."""
    made = torch.Generator(device if device is not None and device.type in OWN_NUMBERS else "cpu")
    made.manual_seed(derive(seed, *purpose))
    return made
