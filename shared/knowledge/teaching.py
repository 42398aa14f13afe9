"""A graph as a teacher of one institution's records: what is learnt beside them, and what holds the student's inside to the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.data.records import UNLABELLED, Records
from shared.distill.auxiliary import Auxiliary
from shared.distill.label_shift import label_offset
from shared.errors import KnowledgeError
from shared.knowledge.alignment import Known
from shared.knowledge.embedding import further_trained, means, pretrained
from shared.knowledge.embedding_file import StoredEmbeddings
from shared.knowledge.inductive import carried_over
from shared.knowledge.linking import LabelMapping, Mapping, TableMapping, TextMapping
from shared.knowledge.loss import ABSENT, class_similarity
from shared.knowledge.members import class_findings, class_ids, members
from shared.knowledge.tabular import TabularKnowledge, tabular_knowledge
from shared.knowledge.text import TextKnowledge, text_knowledge
from shared.knowledge.triples import Graph
from shared.settings import EmbeddingTerms, KnowledgeTerms
from shared.task import ImageTask, TabularTask, Task, TextTask

NAME = "imagined"
LEAST_ANSWER = 1e-9
"""An answer below this counts as this: its logarithm is a logit."""


class GraphTeacher:
    """Reads a graph for the records of one fit: rows of a table, ``texts``, or images, of which only the label names an entity.

    ``trust`` in [0, 1]: how far the labels bear the graph out, which weighs all that it teaches; of images nothing speaks for or against
    it, and it is 1. ``seed`` is that of the embeddings; ``stored`` are some that were pretrained before, perhaps on a graph that had fewer
    entities. Raises :class:`KnowledgeError` where mapping, task and graph do not fit.
    """

    def __init__(
        self,
        graph: Graph,
        mapping: Mapping,
        task: Task,
        records: Records,
        *,
        texts: Sequence[str] = (),
        seed: int = 0,
        stored: StoredEmbeddings | None = None,
    ) -> None:
        self._graph, self._mapping, self._task, self._records = graph, mapping, task, records
        self._seed, self._stored = seed, stored
        self._table: TabularKnowledge | None = None
        self._text: TextKnowledge | None = None
        self._known: tuple[EmbeddingTerms, Known] | None = None
        match task, mapping:
            case TabularTask(), TableMapping():
                self._table = tabular_knowledge(graph, mapping, task, records)
            case TextTask(), LabelMapping() if not isinstance(mapping, TableMapping):
                self._text = text_knowledge(graph, _for_texts(mapping), task, texts, records.labels)
            case ImageTask(), LabelMapping() if type(mapping) is LabelMapping:
                if (class_ids(graph, mapping, task) == ABSENT).all():
                    raise KnowledgeError("no label of the task is an entity of the graph; correct the mapping's classes")
            case _:
                raise KnowledgeError(f"a mapping of {type(mapping).__name__} is not one for a task of family '{task.family}'; correct it")

    @property
    def trust(self) -> float:
        """As above."""
        found = self._table or self._text
        return found.trust if found is not None else 1.0

    def auxiliary(
        self, terms: KnowledgeTerms, random: np.random.Generator, *, label_shares: Sequence[float] = (), label_correction: float = 0.0
    ) -> Auxiliary | None:
        """What is learnt beside the own records; ``None`` where the labels do not bear the graph out, and of images.

        Of tables it is imagined records, drawn by ``random``; of texts the own ones, labelled or not, with the graph's answers. Where
        the fit takes part of the own label shares out of its lessons (:mod:`shared.distill.label_shift`), they are out of it too.
        """
        found = self._table or self._text
        if found is None or not found.trust or not terms.weight:
            return None
        prior = None if terms.classes == "even" else self._prior(label_shares, label_correction)
        inputs, answers = self._lesson(terms, random, prior)
        table = np.log(np.maximum(answers, LEAST_ANSWER))
        return Auxiliary(NAME, inputs, table, terms.weight * found.trust, 1.0, batch=terms.imagined, even=prior is None)

    def known(self, terms: EmbeddingTerms | None, table: NDArray[np.float32] | None = None) -> Known | None:
        """The embeddings of what the records name; ``None`` where they are not asked for, or the graph is not trusted.

        They come of a ``table`` of all entities' float32 ``(E, width)``, or without one of what is stored, where an entity that this
        lacks is like its neighbours, or else of link prediction on this graph, made once.

        Raises :class:`KnowledgeError` for stored ones that do not fit (:func:`carried_over`).
        """
        if terms is None or not self.trust:
            return None
        if table is not None:
            return self._embedded(terms, table)
        if self._known is None or self._known[0] != terms:
            self._known = terms, self._embedded(terms, self._pretrained(terms))
        return self._known[1]

    def _pretrained(self, terms: EmbeddingTerms) -> NDArray[np.float32]:
        if self._stored is not None:
            return carried_over(self._graph, self._stored, terms.width)
        return pretrained(self._graph, terms, self._seed)

    def _lesson(
        self, terms: KnowledgeTerms, random: np.random.Generator, prior: NDArray[np.float64] | None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        if self._table is not None:
            return self._table.pool(terms.pool, random, prior)
        assert self._text is not None
        even = np.full(len(self._task.labels), 1.0)
        return self._records.inputs, self._text.answers(even if prior is None else prior)

    def _prior(self, shares: Sequence[float], correction: float) -> NDArray[np.float64]:
        found = self._table.imagination.calibration if self._table is not None else self._text.calibration if self._text else None
        assert found is not None
        labels = self._records.labels
        offset = label_offset(torch.from_numpy(labels[labels != UNLABELLED]), shares, correction)
        return found.prior if offset is None else found.prior * np.exp(-offset.numpy().astype(np.float64))

    def _embedded(self, terms: EmbeddingTerms, first: NDArray[np.float32]) -> Known:
        graph, labels = self._graph, self._records.labels
        classes, named = class_ids(graph, self._mapping, self._task), members(graph, self._mapping, self._task, self._records, self._text)
        table = further_trained(graph, first, named, classes, labels, terms, self._seed)
        similarity = class_similarity(torch.from_numpy(class_findings(graph, classes))).numpy()
        return Known(means(table, named), means(table, classes[:, None]), similarity, terms, self.trust)


def _for_texts(mapping: LabelMapping) -> TextMapping:
    return mapping if isinstance(mapping, TextMapping) else TextMapping(**mapping.model_dump())
