"""What an institution does for entities that several share: it counts their slots, and carries their rows on over its own triples.

Federated link prediction (FedE, Chen et al. 2021, algorithm 1): each round the rows of entities that it shares are replaced by the
table's, link prediction goes on from there, and the rows' change goes back in the masked update, zeros for every row that is not its own.
Triples, relations, their embeddings, and those of entities that too few know never leave.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from shared.config import InstitutionConfig
from shared.errors import IdentityError, KnowledgeError, MissingFileError, ProtocolError
from shared.knowledge.pretraining import Embeddings, PretrainingSettings, batch_of, first_embeddings, pretrain
from shared.knowledge.salt import read_salt
from shared.knowledge.slots import NONE, agreed_seed, own_slots, presence, rows_of, unit_of
from shared.knowledge.triples import Graph
from shared.models.seeds import derive
from shared.versions import Versions
from shared.work import EntitiesWork, TrainWork

LEAST_LIFT, MOST_LIFT = 0.5, 4.0
"""Bounds on what makes up for an institution's weight: its cap is twice the mean weight, and few records must not fill the clip norm."""

_LOG = logging.getLogger("fedstill.knowledge")


@dataclass(frozen=True)
class Table:
    """The rows of shared entities as they came: the slots that are ``kept``, ascending, their ``rows`` float32 ``(kept, width)``."""

    kept: NDArray[np.int64]
    rows: NDArray[np.float32]


@dataclass(frozen=True)
class Learnt:
    """The ``change`` of the table as it lies in the update, float32 ``(kept * width,)``, and the embeddings of all ``entities`` of the
    institution's graph float32 ``(entities, width)``; ``None`` where it shares nothing.
    """

    change: NDArray[np.float32]
    entities: NDArray[np.float32] | None = None


class EntitySharing:
    """One institution's side of sharing. ``folder`` keeps what is its own from round to round: all that does not lie in the table."""

    def __init__(self, config: InstitutionConfig, folder: Path) -> None:
        self._config, self._files = config, Versions(folder, "own-entities", "remove it, and what it held is learnt anew")
        self._named: tuple[Graph, str] | None = None

    def counted(self, work: EntitiesWork, graph: Graph | None) -> NDArray[np.int64]:
        """The slots that the entities of ``graph`` use, 1 or 0 ``(slots,)``. Raises as :func:`read_salt`."""
        if graph is None or self._salt is None:
            return np.zeros(work.slots, np.int64)
        return presence(own_slots(graph.entities, self._salt, work.slots), work.slots)

    def learn(self, work: TrainWork, graph: Graph | None, table: Table, round_number: int, records: int) -> Learnt:
        """A round of link prediction from the ``table``'s rows; ``records`` is what the institution weighs in the update's mean."""
        knowledge = work.knowledge
        assert knowledge is not None
        assert knowledge.shared is not None
        change = np.zeros(table.rows.shape, np.float32)
        if graph is None or not len(graph) or len(graph.entities) < 2 or self._salt is None:
            return Learnt(change.reshape(-1))
        place = rows_of(own_slots(graph.entities, self._salt, knowledge.shared.slots), table.kept)
        here = place != NONE
        start = self._start(work, graph, self._salt)
        start.entities[here] = table.rows[place[here]]
        seed = derive(self._config.seed, self._config.name, work.seed, round_number, "link prediction")
        found = pretrain(graph, _settings(work, len(graph)), seed, start=start)
        self._files.save(work.version, save({self._key(work, graph): found.flat()}))
        # Rows are averaged over those who have them, each counting alike, and not by their records: that is taken out beforehand.
        lift = min(MOST_LIFT, max(LEAST_LIFT, knowledge.mean_records / max(1, records)))
        unit = unit_of(knowledge.shared.scale, *table.rows.shape)
        change[place[here]] = (lift * unit) * (found.entities - start.entities)[here]
        return Learnt(change.reshape(-1), found.entities)

    @cached_property
    def _salt(self) -> bytes | None:
        path = self._config.knowledge.salt_path
        if path is None:
            _LOG.warning("this institution has no salt (knowledge.salt_path): it shares none of its graph's entities")
            return None
        try:
            return read_salt(path)
        except (KnowledgeError, IdentityError, MissingFileError) as error:
            # Where the salt lies and how long it is are not the coordinator's to know: a refusal travels.
            _LOG.error("knowledge.salt_path cannot be used: %s", error)
            raise KnowledgeError("this institution's salt cannot be used; its operator finds the cause in its own log") from error

    def _start(self, work: TrainWork, graph: Graph, salt: bytes) -> Embeddings:
        seed = derive(self._config.seed, self._config.name, work.seed, "entities")
        # Whoever knew where relations began could tell from the rows which entities one joins (Zhang et al. 2022, "FedR").
        first = first_embeddings(graph, _settings(work, len(graph)), seed, agreed_seed(salt, work.seed))
        kept = (self._files.load(work.version, load) or {}).get(self._key(work, graph))
        return first if kept is None else first.refilled(kept)

    def _key(self, work: TrainWork, graph: Graph) -> str:
        if self._named is None or self._named[0] is not graph:
            self._named = graph, graph.digest()
        settings = _settings(work, len(graph)).canonical()
        return hashlib.sha256(settings + f"{work.seed} {self._named[1]}".encode()).hexdigest()


def table_of(work: TrainWork, vector: NDArray[np.float32], kept: NDArray[np.int64]) -> tuple[NDArray[np.float32], Table]:
    """The student's part of a round's vector, and the rows behind it. Raises :class:`ProtocolError` where they do not fit into it."""
    knowledge = work.knowledge
    assert knowledge is not None
    assert knowledge.shared is not None
    assert knowledge.embeddings is not None
    width = knowledge.embeddings.width
    size = vector.size - len(kept) * width
    if size < 0:
        raise ProtocolError(f"{len(kept)} shared rows of {width} numbers are more than the {vector.size} that came; ask for them again")
    rows = vector[size:].reshape(-1, width) / np.float32(unit_of(knowledge.shared.scale, len(kept), width))
    return vector[:size], Table(kept, rows)


def _settings(work: TrainWork, triples: int) -> PretrainingSettings:
    assert work.knowledge is not None
    terms, shared = work.knowledge.embeddings, work.knowledge.shared
    assert terms is not None
    assert shared is not None
    return PretrainingSettings(model=terms.model, width=terms.width, epochs=shared.epochs, batch=batch_of(triples))
