"""Embeddings as one safetensors file that says whose they are: vectors, and names, settings and the graph's digest as typed JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shared.errors import CheckpointError, KnowledgeError
from shared.files import read_bytes, write_atomic
from shared.frozen import Frozen
from shared.knowledge.names import unknown
from shared.knowledge.pretraining import Embeddings, PretrainingSettings
from shared.knowledge.triples import Graph

KEY = "fedstill"
"""The one key of the file's metadata."""
MAX_CARD = 90_000_000
"""Bytes of the JSON: the library reads no header above 100 million."""


class EmbeddingCard(Frozen):
    """What the vectors are: row k of ``entities`` belongs to the k-th name of ``entities`` here, and so with ``relations``."""

    format: Literal["fedstill-embeddings-1"] = "fedstill-embeddings-1"
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    settings: PretrainingSettings
    seed: int
    graph: str


@dataclass(frozen=True)
class StoredEmbeddings:
    """A file's content: ``card``; ``entities`` float32 ``(E, width)``; ``relations`` as in :class:`Embeddings`."""

    card: EmbeddingCard
    entities: NDArray[np.float32]
    relations: NDArray[np.float32]

    def nearest(self, entity: str, count: int = 10) -> list[tuple[str, float]]:
        """The ``count`` entities most like ``entity`` by the cosine of their vectors, the nearest first, without itself.

        Raises :class:`KnowledgeError` with the nearest names for one that is not there.
        """
        names = self.card.entities
        if entity not in names:
            raise KnowledgeError(unknown("the file of embeddings", "entity", entity, names))
        own = names.index(entity)
        lengths = np.maximum(np.linalg.norm(self.entities, axis=1), np.finfo(np.float32).tiny)
        cosines = self.entities @ self.entities[own] / lengths / lengths[own]
        order = [int(place) for place in np.argsort(-cosines, kind="stable") if place != own]
        return [(names[place], float(cosines[place])) for place in order[:count]]


def save_embeddings(path: Path, graph: Graph, found: Embeddings, settings: PretrainingSettings, seed: int) -> None:
    """Writes the embeddings of ``graph`` whole or not at all; equal ones give equal bytes. Any reader of safetensors finds
    ``entities`` and ``relations``, and under the metadata's ``fedstill`` the names. An entity without triples has learnt nothing, and
    is left out: what it was drawn as would pass for knowledge.

    Raises :class:`KnowledgeError` for names that are too many for the file's header; :class:`ResourceError`.
    """
    learnt = np.flatnonzero(graph.degrees())
    names = tuple(graph.entities[place] for place in learnt)
    card = EmbeddingCard(entities=names, relations=graph.relations, settings=settings, seed=seed, graph=graph.digest())
    text = card.canonical().decode()
    if len(text.encode()) > MAX_CARD:
        raise KnowledgeError(f"the names of {len(names)} entities take more than {MAX_CARD // 10**6} MB; shorten them or split the graph")
    write_atomic(path, save({"entities": found.entities[learnt], "relations": found.relations}, {KEY: text}))


def load_embeddings(path: Path) -> StoredEmbeddings:
    """The embeddings that a file holds. Raises :class:`MissingFileError`, and :class:`CheckpointError` for a file that is damaged or holds
    anything else, or numbers that are not finite or do not fit its names.
    """
    read_bytes(path, what="file of embeddings")
    try:
        with safe_open(path, framework="np") as file:
            card = EmbeddingCard.parse((file.metadata() or {}).get(KEY, "").encode())
            entities, relations = file.get_tensor("entities"), file.get_tensor("relations")
    except ValidationError as error:
        raise CheckpointError(f"{path} is no file of embeddings; `fedstill knowledge embed` writes one") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged; embed the graph again or restore a copy") from error
    fits = entities.shape == (len(card.entities), card.settings.width) and len(relations) == len(card.relations)
    if not fits or entities.dtype != np.float32 or not np.isfinite(entities).all():
        raise CheckpointError(f"{path} holds vectors that are not finite or do not fit its names; embed the graph again")
    return StoredEmbeddings(card, entities, relations)
