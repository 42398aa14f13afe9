"""What a federation's public graph teaches a fit without a federation: of one institution alone, or of all records in one place."""

from __future__ import annotations

from collections.abc import Sequence

from shared.config import FederationConfig
from shared.data.records import Records
from shared.data.seeds import generator
from shared.distill.auxiliary import Auxiliary
from shared.errors import KnowledgeError
from shared.knowledge.alignment import Known
from shared.knowledge.builtin import graph_of, mapping_of
from shared.knowledge.teaching import NAME, GraphTeacher
from shared.knowledge.texts import texts_of


def taught_alone(config: FederationConfig, records: Records, seed: int) -> tuple[Sequence[Auxiliary], Known | None]:
    """What is learnt beside ``records``, and what is known of them; nothing where the federation has no public graph.

    Raises as the readers of the graph and :class:`GraphTeacher`.
    """
    settings = config.knowledge
    graph = graph_of(settings) if settings is not None else None
    if settings is None or graph is None:
        return [], None
    mapping = mapping_of(settings)
    if mapping is None:
        raise KnowledgeError("the federation's [knowledge] says nothing of which entities records name; add a mapping")
    texts = texts_of(config.task, records, config.tokenizer_path)
    teacher = GraphTeacher(graph, mapping, config.task, records, texts=texts, seed=seed)
    found = teacher.auxiliary(settings, generator(seed, NAME))
    return [found] if found is not None else [], teacher.known(settings.embeddings)
