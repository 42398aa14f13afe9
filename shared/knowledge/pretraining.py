"""Embeddings of a graph's entities by link prediction: a triple that holds must score above one whose head or tail is replaced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from shared.errors import KnowledgeError
from shared.frozen import Frozen
from shared.knowledge.dictionary import folded
from shared.knowledge.library import graph_layers
from shared.knowledge.triples import Graph
from shared.models.seeds import derive

MODELS = {"distmult": "DistMult", "complex": "ComplEx", "rotate": "RotatE"}
NODES = ("node_emb.weight", "node_emb_im.weight")
"""The library's names of the parts of entities' embeddings; all other parameters are those of relations."""


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
    """``entities``: float32 ``(E, width)``; ``relations``: those of the relations, float32 ``(R, ...)`` by the library's names;
    ``losses``: the mean loss of each epoch."""

    entities: NDArray[np.float32]
    relations: Mapping[str, NDArray[np.float32]]
    losses: tuple[float, ...] = ()

    def flat(self) -> NDArray[np.float32]:
        """All numbers in one vector: entities, then relations by their names."""
        return np.concatenate([self.entities.reshape(-1), *(self.relations[name].reshape(-1) for name in sorted(self.relations))])

    def refilled(self, vector: NDArray[np.float32]) -> Embeddings:
        """These with the numbers of a vector that :meth:`flat` made of others of the same shapes."""
        names = sorted(self.relations)
        ends = np.cumsum([self.entities.size, *(self.relations[name].size for name in names)])
        entities, *parts = (part.copy() for part in np.split(vector, ends[:-1]))
        relations = {name: part.reshape(self.relations[name].shape) for name, part in zip(names, parts, strict=True)}
        return Embeddings(entities.reshape(self.entities.shape), relations)


def pretrain(graph: Graph, settings: PretrainingSettings, seed: int, start: Embeddings | None = None) -> Embeddings:
    """The embeddings after ``settings.epochs``, from those of ``start`` or from ones that ``seed`` draws. Equal arguments give equal
    numbers on one number of threads.

    Raises :class:`KnowledgeError` for a graph without triples.
    """
    if not len(graph):
        raise KnowledgeError("a graph without triples cannot be embedded; add triples")
    random = torch.Generator().manual_seed(seed)
    model = _model(len(graph.entities), len(graph.relations), settings, random)
    model.random_sample = partial(_corrupted, random, len(graph.entities))
    if start is not None:
        _begin(model, start)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    triples = torch.from_numpy(graph.triples.copy())
    losses = tuple(_epoch(model, optimizer, triples, settings.batch, random) for _ in range(settings.epochs))
    return Embeddings(_entities(model), _relations(model), losses)


def first_embeddings(graph: Graph, settings: PretrainingSettings, seed: int, agreed: int) -> Embeddings:
    """What a federation's link prediction begins with: entities drawn by the institution's own ``seed``, and each relation by its name
    and a seed that all have ``agreed`` on. A relation of one name then begins the same everywhere: what an entity's shared row
    means at one institution it soon means at others.
    """
    entities = _entities(_model(len(graph.entities), 1, settings, torch.Generator().manual_seed(seed)))
    seeds = (derive(agreed, "relation", folded(name)) for name in graph.relations)
    relations = [_relations(_model(1, 1, settings, torch.Generator().manual_seed(own))) for own in seeds]
    return Embeddings(entities, {part: np.concatenate([one[part] for one in relations]) for part in (relations[0] if relations else {})})


def model_of(found: Embeddings, settings: PretrainingSettings) -> Any:
    """The library's model with these embeddings: it scores triples ``(n,)``, given heads, relations and tails, int64 ``(n,)`` each."""
    relations = max((len(part) for part in found.relations.values()), default=0)
    model = _model(len(found.entities), relations, settings, torch.Generator())
    _begin(model, found)
    return model


def _model(entities: int, relations: int, settings: PretrainingSettings, random: torch.Generator) -> Any:
    # The library draws from a generator that all threads share: what two institutions in one process draw would depend on their timing.
    complex_parts = 1 if settings.model == "distmult" else 2
    model = getattr(graph_layers(), MODELS[settings.model])(entities, relations, settings.width // complex_parts)
    for name, part in model.named_parameters():
        if settings.model == "rotate" and name not in NODES:
            nn.init.uniform_(part, 0.0, 2.0 * math.pi, generator=random)
        else:
            nn.init.xavier_uniform_(part, generator=random)
    return model


def _corrupted(random: torch.Generator, entities: int, heads: Tensor, relations: Tensor, tails: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # The library's way: another head for the first half, another tail for the rest.
    drawn, half = torch.randint(entities, heads.shape, generator=random), len(heads) // 2
    return torch.cat([drawn[:half], heads[half:]]), relations, torch.cat([tails[:half], drawn[half:]])


def _begin(model: Any, start: Embeddings) -> None:
    parts = dict(model.named_parameters())
    nodes = [name for name in NODES if name in parts]
    values = dict(zip(nodes, np.split(start.entities, len(nodes), axis=1), strict=True)) | dict(start.relations)
    with torch.no_grad():
        for name, value in values.items():
            parts[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))


def _epoch(model: Any, optimizer: torch.optim.Optimizer, triples: Tensor, batch: int, random: torch.Generator) -> float:
    total = 0.0
    for rows in torch.split(torch.randperm(len(triples), generator=random), batch):
        heads, relations, tails = triples[rows].T
        loss: Tensor = model.loss(heads, relations, tails)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(triples)


def _entities(model: Any) -> NDArray[np.float32]:
    parts = dict(model.named_parameters())
    found: NDArray[np.float32] = torch.cat([parts[name] for name in NODES if name in parts], dim=1).detach().numpy().copy()
    return found


def _relations(model: Any) -> dict[str, NDArray[np.float32]]:
    return {name: part.detach().numpy().copy() for name, part in model.named_parameters() if name not in NODES}
