"""Embeddings of a graph's entities by link prediction: a triple that holds must score above one whose head or tail is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from shared.errors import KnowledgeError
from shared.frozen import Frozen
from shared.knowledge.library import graph_layers
from shared.knowledge.triples import Graph

MODELS = {"distmult": "DistMult", "complex": "ComplEx", "rotate": "RotatE"}


class PretrainingSettings(Frozen):
    """How entities are embedded. ``model``: DistMult (Yang et al. 2015), ComplEx (Trouillon et al. 2016) or RotatE (Sun et al. 2019);
    DistMult cannot tell a relation from its inverse. ``width``: numbers an entity; of the complex two, half are imaginary.
    ``epochs`` over all triples, ``batch`` triples a step.
    """

    model: Literal["distmult", "complex", "rotate"] = "complex"
    width: int = Field(default=64, ge=2, le=1024, multiple_of=2)
    epochs: int = Field(default=50, ge=0, le=10_000)
    batch: int = Field(default=4096, ge=1)
    learning_rate: float = Field(default=0.02, gt=0.0, le=1.0)


@dataclass(frozen=True)
class Embeddings:
    """``entities``: float32 ``(E, width)``; ``losses``: the mean loss of each epoch."""

    entities: NDArray[np.float32]
    losses: tuple[float, ...]


def pretrain(graph: Graph, settings: PretrainingSettings, seed: int) -> Embeddings:
    """The embeddings after ``settings.epochs``. Equal arguments give equal numbers on one number of threads.

    Raises :class:`KnowledgeError` for a graph without triples.
    """
    if not len(graph):
        raise KnowledgeError("a graph without triples cannot be embedded; add triples")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(graph, settings)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
        triples = torch.from_numpy(graph.triples.copy())
        losses = tuple(_epoch(model, optimizer, triples, settings.batch) for _ in range(settings.epochs))
        return Embeddings(_entities(model), losses)


def _model(graph: Graph, settings: PretrainingSettings) -> Any:
    complex_parts = 1 if settings.model == "distmult" else 2
    kind = getattr(graph_layers(), MODELS[settings.model])
    return kind(len(graph.entities), len(graph.relations), settings.width // complex_parts)


def _epoch(model: Any, optimizer: torch.optim.Optimizer, triples: Tensor, batch: int) -> float:
    total = 0.0
    for rows in torch.split(torch.randperm(len(triples)), batch):
        heads, relations, tails = triples[rows].T
        loss: Tensor = model.loss(heads, relations, tails)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(triples)


def _entities(model: Any) -> NDArray[np.float32]:
    parts = [model.node_emb.weight]
    if hasattr(model, "node_emb_im"):
        parts.append(model.node_emb_im.weight)
    found: NDArray[np.float32] = torch.cat(parts, dim=1).detach().numpy().copy()
    return found
