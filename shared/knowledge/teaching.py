"""What a graph teaches in a fit: records that it imagines, as :class:`shared.distill.auxiliary.Auxiliary` beside the own ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from shared.config import KnowledgeSettings
from shared.data.records import UNLABELLED, Records
from shared.data.seeds import generator
from shared.distill.auxiliary import Auxiliary
from shared.distill.label_shift import label_offset
from shared.errors import KnowledgeError
from shared.knowledge.builtin import graph_of, mapping_of
from shared.knowledge.tabular import TabularKnowledge, tabular_knowledge
from shared.settings import KnowledgeTerms
from shared.task import TabularTask, Task

NAME = "imagined"
LEAST_ANSWER = 1e-9
"""An answer below this counts as this: its logarithm is a logit."""


def imagined(
    knowledge: TabularKnowledge,
    terms: KnowledgeTerms,
    labels: NDArray[np.int64],
    random: np.random.Generator,
    *,
    label_shares: Sequence[float] = (),
    label_correction: float = 0.0,
) -> Auxiliary | None:
    """Imagined records for a fit on records with these ``labels``; ``None`` where the labels do not bear the graph out.

    Where the fit takes part of the own label shares out of its lessons (:mod:`shared.distill.label_shift`), they are out of what is
    imagined too. ``random`` decides which records are imagined.
    """
    if not knowledge.trust or not terms.weight:
        return None
    prior = None if terms.classes == "even" else _prior(knowledge, labels, label_shares, label_correction)
    inputs, answers = knowledge.pool(terms.pool, random, prior)
    table = np.log(np.maximum(answers, LEAST_ANSWER))
    weight = terms.weight * knowledge.trust
    return Auxiliary(NAME, inputs, table, weight, 1.0, batch=terms.imagined, even=prior is None)


def imagined_alone(settings: KnowledgeSettings | None, task: Task, records: Records, seed: int) -> list[Auxiliary]:
    """What a federation's public graph teaches a fit on ``records`` without a federation; empty where it teaches nothing.

    Raises as the readers of the graph and :func:`tabular_knowledge`.
    """
    graph = graph_of(settings) if settings is not None else None
    if settings is None or graph is None or not isinstance(task, TabularTask):
        return []
    mapping = mapping_of(settings)
    if mapping is None:
        raise KnowledgeError("the federation's [knowledge] says nothing of which entities the columns name; add a mapping")
    made = tabular_knowledge(graph, mapping, task, records)
    found = imagined(made, settings, records.labels, generator(seed, NAME))
    return [found] if found is not None else []


def _prior(knowledge: TabularKnowledge, labels: NDArray[np.int64], shares: Sequence[float], correction: float) -> NDArray[np.float64]:
    own = knowledge.imagination.calibration.prior
    offset = label_offset(torch.from_numpy(labels[labels != UNLABELLED]), shares, correction)
    return own if offset is None else own * np.exp(-offset.numpy().astype(np.float64))
