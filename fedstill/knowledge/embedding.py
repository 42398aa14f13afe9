"""Embeddings of a graph in a file, with how well they complete triples that were held out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from shared.config import check_config
from shared.distill.resume import Resume
from shared.frozen import Frozen
from shared.knowledge.embedding_file import save_embeddings
from shared.knowledge.predictor import Model
from shared.knowledge.pretraining import PretrainingSettings, fit_key, pretrain
from shared.knowledge.ranking import Learnt, Popularity, Ranks, filtered_ranks, held_out
from shared.knowledge.triples import Graph

HITS = 10
Step = Callable[[int, int], None]


def settings_of(model: Model, *, width: int | None = None, epochs: int | None = None) -> PretrainingSettings:
    """The settings with what a command names. Raises :class:`ConfigError` for a width that they do not allow."""
    named = {"model": model, "width": width, "epochs": epochs}
    return check_config(PretrainingSettings, {name: value for name, value in named.items() if value is not None}, where="the command line")


class Completion(Frozen):
    """Filtered, over tails and heads: the mean of 1 / rank, and the share of ranks up to 10."""

    mrr: float
    hits_at_10: float


class EmbedSummary(Frozen):
    """``triples`` were learnt from and ``held_out`` were not; of these, ``completion`` by the embeddings and ``popularity`` by how often an
    entity stands at that end of that relation, None where none was held out. ``seconds`` of the fit alone.
    """

    out: Path
    entities: int
    relations: int
    triples: int
    held_out: int
    settings: PretrainingSettings
    seed: int
    epochs: int
    loss: float | None
    seconds: float
    completion: Completion | None
    popularity: Completion | None


@dataclass(frozen=True)
class Embedding:
    """What is asked for: the settings of a fit, how many triples at most are ranked, and on how many threads."""

    out: Path
    settings: PretrainingSettings
    seed: int = 0
    held_out: int = 1000
    threads: int = 1

    @property
    def kept(self) -> Path:
        """Where an unfinished fit is kept."""
        return self.out.with_name(f"{self.out.name}.fit")


def embed_graph(graph: Graph, plan: Embedding, *, on_epoch: Step, on_rank: Step) -> EmbedSummary:
    """Embeds ``graph`` and writes the file. The held-out triples are not learnt from, neither here nor afterwards.

    A dated graph is learnt without its dates, each triple once; its latest ones are held out. Stopped, the same call goes on.
    Raises :class:`KnowledgeError` for a graph that cannot be embedded; :class:`ResourceError`.
    """
    torch.set_num_threads(plan.threads)
    whole = graph.firsts()
    learnt, unseen = held_out(whole, plan.held_out, plan.seed)
    resume = Resume(plan.kept, fit_key(learnt, plan.settings, plan.seed))
    began = time.perf_counter()
    found = pretrain(learnt, plan.settings, plan.seed, on_epoch=on_epoch, resume=resume)
    seconds = time.perf_counter() - began
    ranked, popular = None, None
    if len(unseen):
        ranked = _completion(filtered_ranks(Learnt(found.predictor()), whole, unseen, on_step=on_rank))
        popular = _completion(filtered_ranks(Popularity(learnt), whole, unseen))
    save_embeddings(plan.out, learnt, found, plan.settings, plan.seed)
    resume.done()
    return EmbedSummary(
        out=plan.out,
        entities=len(whole.entities),
        relations=len(whole.relations),
        triples=len(learnt),
        held_out=len(unseen),
        settings=plan.settings,
        seed=plan.seed,
        epochs=len(found.losses),
        loss=found.losses[-1] if found.losses else None,
        seconds=seconds,
        completion=ranked,
        popularity=popular,
    )


def _completion(ranks: Ranks) -> Completion:
    return Completion(mrr=ranks.mrr, hits_at_10=ranks.hits(HITS))
