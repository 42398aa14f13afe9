"""A relational graph network: entities read their neighbours, each relation in its own way.

Two kinds of layer: R-GCN (Schlichtkrull et al. 2018, eq. 2) with basis decomposition (eq. 3), from torch-geometric, and CompGCN
(Vashishth et al. 2020, eq. 2), which embeds relations as well and composes each neighbour with the relation it is reached by.
What the layers are given decides what they compute, so one encoder serves a whole graph, a sampled part of it, and entities that it has
never seen: these begin as the mean of their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from shared.frozen import Frozen
from shared.knowledge.library import graph_layers
from shared.knowledge.sampling import Subgraph

Composition = Literal["subtract", "multiply", "correlate"]


class EncoderSettings(Frozen):
    """``layer``: ``rgcn``, or a CompGCN composition; ``layers``: how many hops are read, 0: none; ``bases`` of R-GCN's weights."""

    layer: Literal["rgcn", "subtract", "multiply", "correlate"] = "rgcn"
    layers: int = Field(default=1, ge=0, le=4)
    bases: int = Field(default=4, ge=1, le=64)


def _correlate(entity: Tensor, relation: Tensor) -> Tensor:
    # Circular correlation by the Fourier transform (Nickel et al. 2016, eq. 4).
    product = torch.fft.rfft(entity, dim=-1).conj() * torch.fft.rfft(relation, dim=-1)
    correlated: Tensor = torch.fft.irfft(product, n=entity.shape[-1], dim=-1)
    return correlated


COMPOSITIONS: dict[Composition, Callable[[Tensor, Tensor], Tensor]] = {
    "subtract": lambda entity, relation: entity - relation,
    "multiply": lambda entity, relation: entity * relation,
    "correlate": _correlate,
}
"""φ of CompGCN, section 4.1: TransE's, DistMult's and HolE's."""


class CompositionLayer(nn.Module):
    """``h_v = W_self (h_v ∘ loop) + mean over edges (u, r, v) of W_dir(r) (h_u ∘ h_r)``.

    ``∘`` is the composition; ``W_dir`` is one matrix for triples and one for their inverses.
    """

    def __init__(self, width: int, relations: int, composition: Composition) -> None:
        super().__init__()
        self.relations, self._compose = relations, COMPOSITIONS[composition]
        self.kinds = nn.Parameter(torch.empty(2 * relations, width))
        self.loop = nn.Parameter(torch.empty(1, width))
        self.forwards, self.backwards, self.self_weight = (nn.Linear(width, width, bias=False) for _ in range(3))
        nn.init.xavier_normal_(self.kinds)
        nn.init.xavier_normal_(self.loop)

    def forward(self, states: Tensor, edges: Tensor, kinds: Tensor) -> Tensor:
        """``(n, width)`` for ``states (n, width)``, ``edges (2, m)``, ``kinds (m,)``."""
        composed = self._compose(states[edges[0]], self.kinds[kinds])
        inverse = (kinds >= self.relations).unsqueeze(1)
        messages = torch.where(inverse, self.backwards(composed), self.forwards(composed))
        total = torch.zeros_like(states).index_add(0, edges[1], messages)
        counts = torch.zeros(len(states), dtype=states.dtype, device=states.device)
        counts = counts.index_add(0, edges[1], torch.ones_like(edges[1], dtype=states.dtype))
        own: Tensor = self.self_weight(self._compose(states, self.loop.expand_as(states)))
        return own + total / counts.clamp(min=1.0).unsqueeze(1)


class Encoder(nn.Module):
    """States ``(n, width)`` of a part of a graph to embeddings ``(n, width)``: layers with a residual connection and tanh between them."""

    def __init__(self, width: int, relations: int, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(_layer(width, relations, settings) for _ in range(settings.layers))

    def forward(self, states: Tensor, edges: Tensor, kinds: Tensor) -> Tensor:
        """``h + tanh(layer(h))`` for each layer. ``edges`` ``(2, m)`` and ``kinds`` ``(m,)`` as in :class:`Subgraph`."""
        for layer in self.layers:
            states = states + torch.tanh(layer(states, edges, kinds))
        return states

    def draw(self, random: torch.Generator) -> None:
        """All first weights anew, from ``random`` alone: matrices as :class:`nn.Linear` and Glorot have them, biases zero."""
        linear = {id(module.weight): module.in_features for module in self.modules() if isinstance(module, nn.Linear)}
        for part in self.parameters():
            if id(part) in linear:
                nn.init.uniform_(part, -(linear[id(part)] ** -0.5), linear[id(part)] ** -0.5, generator=random)
            elif part.dim() > 1:
                bound = (6.0 / (part.shape[-2] + part.shape[-1])) ** 0.5
                nn.init.uniform_(part, -bound, bound, generator=random)
            else:
                nn.init.zeros_(part)

    def of(self, table: Tensor, part: Subgraph) -> Tensor:
        """Embeddings of ``part.nodes`` ``(n, width)`` from the table of all entities ``(E, width)``."""
        states = functional.embedding(torch.from_numpy(part.nodes), table)
        found: Tensor = self(states, torch.from_numpy(part.edges), torch.from_numpy(part.kinds))
        return found


def _layer(width: int, relations: int, settings: EncoderSettings) -> nn.Module:
    if settings.layer != "rgcn":
        return CompositionLayer(width, relations, settings.layer)
    layer: nn.Module = graph_layers().RGCNConv(width, width, 2 * relations, num_bases=min(settings.bases, 2 * relations))
    return layer


def unseen_states(table: NDArray[np.float32], owners: NDArray[np.int64], neighbours: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """States ``(count, width)`` for entities that ``table`` ``(E, width)`` does not have: the mean of their known neighbours; zeros for
    one without any. ``owners`` and ``neighbours`` ``(m,)``: edge k joins the new entity ``owners[k]`` to the known ``neighbours[k]``.
    """
    total = np.zeros((count, table.shape[1]), dtype=np.float32)
    np.add.at(total, owners, table[neighbours])
    return total / np.maximum(np.bincount(owners, minlength=count), 1).astype(np.float32)[:, None]
