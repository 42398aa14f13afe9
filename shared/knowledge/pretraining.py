"""Embeddings of a graph's entities by link prediction: an end of a triple that holds must score above all other entities in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from shared.distill.resume import Resume
from shared.errors import KnowledgeError
from shared.frozen import Frozen
from shared.knowledge.dictionary import folded
from shared.knowledge.predictor import LinkPredictor, Model
from shared.knowledge.triples import Graph
from shared.models.seeds import derive

LARGEST_BATCH, LEAST_BATCH, STEPS = 4096, 64, 16
"""An epoch over a small graph has about this many steps, over a large one as many as its batches need."""
_VERSION = "1"
"""Changed with whatever changes the numbers of a fit, so that a kept fit of another release is not gone on with."""


class PretrainingSettings(Frozen):
    """How entities are embedded. ``model``: see :class:`LinkPredictor`; DistMult cannot tell a relation from its inverse. ``width``:
    numbers an entity; of the complex two, half are imaginary. ``epochs`` over all triples, ``batch`` triples a step, ``negatives`` drawn
    entities a step and side that stand for all wrong answers. ``penalty``: weight of the cubes, 0: none.
    """

    model: Model = "complex"
    width: int = Field(default=64, ge=2, le=1024, multiple_of=2)
    epochs: int = Field(default=15, ge=0, le=10_000)
    batch: int = Field(default=1024, ge=1)
    negatives: int = Field(default=512, ge=16)
    learning_rate: float = Field(default=0.01, gt=0.0, le=1.0)
    penalty: float = Field(default=0.03, ge=0.0)


@dataclass(frozen=True)
class Embeddings:
    """``entities``: float32 ``(E, width)``; ``relations``: float32 ``(R, width)``, of RotatE angles ``(R, width / 2)``; ``losses``: the
    mean loss of each epoch; ``model``: what scores them.
    """

    entities: NDArray[np.float32]
    relations: NDArray[np.float32]
    losses: tuple[float, ...]
    model: Model

    def flat(self) -> NDArray[np.float32]:
        """All numbers in one vector: entities, then relations."""
        return np.concatenate([self.entities.reshape(-1), self.relations.reshape(-1)])

    def refilled(self, vector: NDArray[np.float32]) -> Embeddings:
        """These with the numbers of a vector that :meth:`flat` made of others of the same shapes."""
        entities, relations = (part.copy() for part in np.split(vector, [self.entities.size]))
        return Embeddings(entities.reshape(self.entities.shape), relations.reshape(self.relations.shape), (), self.model)

    def predictor(self) -> LinkPredictor:
        """The model that has these numbers."""
        made = LinkPredictor(self.model, 1, 1, 2, torch.Generator())
        with torch.no_grad():
            made.entities, made.relations = (torch.nn.Parameter(torch.tensor(part)) for part in (self.entities, self.relations))
        return made


def batch_of(triples: int) -> int:
    """Triples a step where a fit has few epochs: of a small graph, one step an epoch would hardly train anything."""
    return min(LARGEST_BATCH, max(LEAST_BATCH, triples // STEPS))


def fit_key(graph: Graph, settings: PretrainingSettings, seed: int) -> str:
    """What a kept fit depends on, as one digest."""
    text = f"{_VERSION}:{torch.__version__}:{graph.digest()}:{settings.canonical().decode()}:{seed}"
    return hashlib.sha256(text.encode()).hexdigest()


def pretrain(
    graph: Graph,
    settings: PretrainingSettings,
    seed: int,
    *,
    start: Embeddings | None = None,
    on_epoch: Callable[[int, int], None] = lambda done, total: None,
    resume: Resume | None = None,
) -> Embeddings:
    """The embeddings after ``settings.epochs``, from those of ``start`` or from ones that ``seed`` draws. Equal arguments give equal
    numbers on one number of threads, stopped and gone on with (``resume``, of :func:`fit_key`) or not. ``on_epoch`` is called with the
    epochs that are done and their number.

    Raises :class:`KnowledgeError` for a graph without triples or with a single entity.
    """
    if not len(graph) or len(graph.entities) < 2:
        raise KnowledgeError("a graph without triples, or with a single entity, cannot be embedded; add triples")
    fit = _Fit(graph, settings, seed)
    if start is not None:
        fit.model.load_state_dict({"entities": torch.tensor(start.entities), "relations": torch.tensor(start.relations)})
    kept = resume.load() if resume is not None else None
    if kept is not None:
        fit.set_state(kept)
    while len(fit.losses) < settings.epochs:
        fit.epoch()
        on_epoch(len(fit.losses), settings.epochs)
        if resume is not None and resume.due():
            resume.save(fit.get_state())
    model = fit.model
    return Embeddings(_numbers(model.entities), _numbers(model.relations), tuple(fit.losses), settings.model)


def first_embeddings(graph: Graph, settings: PretrainingSettings, seed: int, agreed: int) -> Embeddings:
    """What a federation's link prediction begins with: entities drawn by the institution's own ``seed``, and each relation by its name
    and a seed that all have ``agreed`` on. A relation of one name then begins the same everywhere: what an entity's shared row
    means at one institution it soon means at others.
    """
    own = LinkPredictor(settings.model, len(graph.entities), 1, settings.width, torch.Generator().manual_seed(seed))
    seeds = (derive(agreed, "relation", folded(name)) for name in graph.relations)
    relations = [
        _numbers(LinkPredictor(settings.model, 1, 1, settings.width, torch.Generator().manual_seed(one)).relations) for one in seeds
    ]
    return Embeddings(_numbers(own.entities), np.concatenate([_numbers(own.relations)[:0], *relations]), (), settings.model)


class _Fit:
    """One fit between two epochs: what it has, and how it goes on."""

    def __init__(self, graph: Graph, settings: PretrainingSettings, seed: int) -> None:
        self.settings, self.losses = settings, list[float]()
        self._random = torch.Generator().manual_seed(seed)
        self.model = LinkPredictor(settings.model, len(graph.entities), len(graph.relations), settings.width, self._random)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, fused=True)
        self._triples = torch.from_numpy(graph.triples.copy())

    def epoch(self) -> None:
        total, settings = 0.0, self.settings
        for rows in torch.split(torch.randperm(len(self._triples), generator=self._random), settings.batch):
            loss = self.model.loss(self._triples[rows], settings.negatives, settings.penalty, self._random)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            total += float(loss.detach()) * len(rows)
        self.losses.append(total / len(self._triples))

    def get_state(self) -> dict[str, Tensor]:
        kept = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, part in self._optimizer.state_dict()["state"].items():
            kept |= {f"adam.{number}.{name}": tensor for name, tensor in part.items()}
        return kept | {"losses": torch.tensor(self.losses, dtype=torch.float64), "random": self._random.get_state()}

    def set_state(self, kept: dict[str, Tensor]) -> None:
        self.model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in kept.items() if name.startswith("model.")})
        whole, parts = self._optimizer.state_dict(), dict[int, dict[str, Tensor]]()
        for name, tensor in kept.items():
            if name.startswith("adam."):
                _, number, part = name.split(".")
                parts.setdefault(int(number), {})[part] = tensor
        self._optimizer.load_state_dict(whole | {"state": parts})
        self.losses = kept["losses"].tolist()
        self._random.set_state(kept["random"])


def _numbers(parameter: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = parameter.detach().numpy().copy()
    return found
