"""Embeddings for a fit: pretrained by link prediction, trained further on the labels through a graph network, cached for a round."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shared.data.records import UNLABELLED
from shared.knowledge.encoder import Encoder, EncoderSettings
from shared.knowledge.loss import ABSENT, prototype_logits, record_embeddings
from shared.knowledge.pretraining import PretrainingSettings, batch_of, pretrain
from shared.knowledge.sampling import Neighbours
from shared.knowledge.triples import Graph
from shared.settings import EmbeddingTerms

FANOUT = 16
"""Neighbours of an entity that are read at most, so that a step costs what its records name, however large the graph."""
BATCH, RATE = 128, 3e-3


def pretrained(graph: Graph, terms: EmbeddingTerms, seed: int) -> NDArray[np.float32]:
    """Every entity's embedding by link prediction alone, float32 ``(E, width)``."""
    settings = PretrainingSettings(model=terms.model, width=terms.width, epochs=terms.epochs, batch=batch_of(len(graph)))
    return pretrain(graph, settings, seed).entities


def further_trained(
    graph: Graph,
    table: NDArray[np.float32],
    members: NDArray[np.int64],
    classes: NDArray[np.int64],
    labels: NDArray[np.int64],
    terms: EmbeddingTerms,
    seed: int,
) -> NDArray[np.float32]:
    """The table after ``terms.steps`` steps in which records find their class by the entities that they name, through the encoder.

    ``members`` int64 ``(records, most)``: entities of each record; ``classes`` ``(C,)``: those of the classes; both with
    :data:`ABSENT` for none; ``labels`` ``(records,)``. Loss: cross-entropy of the cosines of a record's mean embedding and the classes'
    (Snell et al. 2017). An entity that no record names and no class is stays as pretrained. Without an encoder, steps, labels of at least
    two classes with an entity, the table comes back as it was.
    """
    told = np.flatnonzero((labels != UNLABELLED) & (classes[np.maximum(labels, 0)] != ABSENT) & (members != ABSENT).any(axis=1))
    if terms.encoder == "none" or not terms.steps or len(np.unique(labels[told])) < 2:
        return table
    needed = np.unique(np.concatenate([members[members != ABSENT], classes[classes != ABSENT]]))
    encoder = Encoder(table.shape[1], len(graph.relations), EncoderSettings(layer=terms.encoder, layers=terms.layers))
    encoder.draw(torch.Generator().manual_seed(seed))
    weights = torch.nn.Parameter(torch.from_numpy(table.copy()))
    optimizer = torch.optim.Adam([*encoder.parameters(), weights], lr=RATE)
    neighbours, random = Neighbours(graph), np.random.default_rng(seed)
    place = _places(needed, len(table))
    for _ in range(terms.steps):
        rows = random.choice(told, min(BATCH, len(told)), replace=False)
        states = _encoded(encoder, weights, neighbours, needed, terms.layers, random)
        loss = _class_loss(states, place[members[rows]], place[classes], torch.from_numpy(labels[rows]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        found: NDArray[np.float32] = table.copy()
        found[needed] = _encoded(encoder, weights, neighbours, needed, terms.layers, random).numpy()
    return found


def means(table: NDArray[np.float32], members: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean embedding of each record's entities ``(records, K)``."""
    found: NDArray[np.float32] = record_embeddings(torch.from_numpy(table), torch.from_numpy(members)).numpy()
    return found


def _encoded(
    encoder: Encoder, weights: Tensor, neighbours: Neighbours, needed: NDArray[np.int64], layers: int, random: np.random.Generator
) -> Tensor:
    part = neighbours.sample(needed, [FANOUT] * layers, random)
    return encoder.of(weights, part)[: len(needed)]


def _places(needed: NDArray[np.int64], entities: int) -> NDArray[np.int64]:
    # The last place is what ABSENT, an index of -1, points at.
    place = np.full(entities + 1, ABSENT, dtype=np.int64)
    place[needed] = np.arange(len(needed))
    return place


def _class_loss(states: Tensor, members: NDArray[np.int64], classes: NDArray[np.int64], labels: Tensor) -> Tensor:
    records = record_embeddings(states, torch.from_numpy(members))
    there = torch.from_numpy(classes != ABSENT)
    prototypes = states[torch.from_numpy(np.maximum(classes, 0))]
    logits = prototype_logits(records, prototypes).masked_fill(~there, torch.finfo(states.dtype).min)
    return functional.cross_entropy(logits, labels)
