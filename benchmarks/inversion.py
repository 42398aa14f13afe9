"""Gradient inversion: from one local step's update back to the records it was made of.

Geiping et al. 2020, "Inverting gradients", section 4: pixels are moved until their gradient points where the update points
(cosine distance, with a little total variation), from several starts, of which the best match counts. As in Zhu et al.
2019 the attacker knows the model, the number of records and their labels. It also knows what such records look like: it
starts near the mean image of each label among records of its own and is held to it weakly, without which it finds fewer.
The strengths were chosen on seeds 10 and 11. A stronger attack may find more: what fails here is not proven safe.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from shared.data import Records
from shared.models import Network
from shared.models.seeds import generator

SMOOTHNESS = 1e-4
"""Weight of the total variation beside a cosine distance between 0 and 2."""
PRIOR = 0.3
"""Weight of the mean squared distance to the mean image, in squares of the pixels' range, beside the same."""
STEP, SPREAD = 0.03, 0.05
"""The first step's length, and the deviation of a start around its mean image: of the pixels' range."""
PIXELS = 255.0

Gradient = Callable[[Tensor, Tensor], Tensor]


def gradient_of(model: Network) -> Gradient:
    """``(inputs (n, h, w, c), labels (n,)) -> (d,)``: the mean cross-entropy's gradient, in the order of the model's vector."""
    fixed = {name: parameter.detach() for name, parameter in sorted(model.named_parameters())}

    def loss(parameters: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(model, parameters, (inputs,)), labels)

    def flat(inputs: Tensor, labels: Tensor) -> Tensor:
        parts = grad(loss)(fixed, inputs, labels)
        return torch.cat([parts[name].reshape(-1) for name in fixed])

    return flat


@dataclass(frozen=True)
class Inversion:
    """An attack's effort, and the attacker's own records ``known``."""

    gradient: Gradient
    known: Records
    steps: int
    starts: int

    def invert(self, updates: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
        """``updates (t, d)`` of ``labels (t, n)`` -> images ``(t, n, h, w, c)`` within 0 and 255, in no order within a label."""
        every = self.starts * len(updates)
        directions = functional.normalize(-torch.from_numpy(updates).to(torch.float32), dim=1).repeat_interleave(self.starts, dim=0)
        means = torch.from_numpy(self.guess(labels) / PIXELS).to(torch.float32).repeat_interleave(self.starts, dim=0)
        clues = directions, torch.from_numpy(labels).repeat_interleave(self.starts, dim=0), means
        images = self._descend((means + SPREAD * torch.randn(means.shape, generator=generator(seed, "starts"))).clamp(0, 1), clues)
        best = vmap(self._mismatch)(images, *clues).reshape(-1, self.starts).argmin(dim=1) + torch.arange(0, every, self.starts)
        chosen: NDArray[np.float64] = images[best].to(torch.float64).numpy() * PIXELS
        return chosen

    def guess(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the attacker would say without any update: the mean image of each label, ``(t, n, h, w, c)``."""
        means = [self.known.inputs[self.known.labels == label].mean(axis=0) for label in labels.reshape(-1)]
        return np.stack(means).reshape(*labels.shape, *self.known.inputs.shape[1:])

    def _descend(self, images: Tensor, clues: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        # Adam (Kingma and Ba 2015) for all starts at once, its step falling to 0 along half a cosine.
        slope = vmap(grad(self._mismatch))
        first, second = torch.zeros_like(images), torch.zeros_like(images)
        for step in range(self.steps):
            found = slope(images, *clues)
            first, second = 0.9 * first + 0.1 * found, 0.999 * second + 0.001 * found.square()
            unbiased = first / (1 - 0.9 ** (step + 1)) / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-12)
            images = (images - STEP * (1 + math.cos(math.pi * step / self.steps)) / 2 * unbiased).clamp(0, 1)
        return images

    def _mismatch(self, images: Tensor, direction: Tensor, labels: Tensor, means: Tensor) -> Tensor:
        found = self.gradient(images * PIXELS, labels)
        cosine: Tensor = found @ direction / (found.norm() + 1e-12)
        variation = (images[:, 1:] - images[:, :-1]).abs().mean() + (images[:, :, 1:] - images[:, :, :-1]).abs().mean()
        return 1 - cosine + SMOOTHNESS * variation + PRIOR * (images - means).square().mean()


@dataclass(frozen=True)
class Likeness:
    """``correlation`` of pixels, -1 to 1; ``psnr`` in dB; ``found``: share of records that can be picked out of all by their image."""

    correlation: float
    psnr: float
    found: float


def likeness(images: NDArray[np.float64], rows: NDArray[np.int64], everyone: Records) -> Likeness:
    """How near ``images (n, h, w, c)`` come to the records at ``rows (n,)``, each image paired with one record, the best way.

    A record is found if it is the nearest (L2) of all records to some image.
    """
    pixels = everyone.inputs.reshape(len(everyone), -1).astype(np.float64)
    drawn, true = images.reshape(len(images), -1), pixels[rows]
    correlations = _standardised(true) @ _standardised(drawn).T / true.shape[1]
    pairs = linear_sum_assignment(-correlations)
    errors = ((true[pairs[0]] - drawn[pairs[1]]) ** 2).mean(axis=1)
    nearest = [int(((pixels - one) ** 2).sum(axis=1).argmin()) for one in drawn]
    return Likeness(
        correlation=float(correlations[pairs].mean()),
        psnr=float((10 * np.log10(PIXELS**2 / np.maximum(errors, 1e-3))).mean()),
        found=float(np.isin(rows, nearest).mean()),
    )


def _standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = rows - rows.mean(axis=1, keepdims=True)
    deviations: NDArray[np.float64] = centred.std(axis=1, keepdims=True)
    return centred / (deviations + 1e-12)
