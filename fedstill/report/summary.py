"""The figures of one simulated federation: what ``summary.json`` holds and ``--json`` prints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.frozen import Frozen

ModelName = Literal["teacher", "local", "federated", "fedstill", "int8", "pooled", "bare"]

TITLES: dict[str, str] = {
    "teacher": "own teacher",
    "local": "student alone",
    "federated": "federated, no teacher",
    "fedstill": "fedstill student",
    "int8": "fedstill INT8",
    "pooled": "on pooled records",
    "bare": "the same, no graph table",
}
"""How a model is called in tables and plots, in the order in which they stand."""


class ModelFigures(Frozen):
    """One row of the comparison. Accuracies are fractions of held-out records; ``overall`` counts every record once.

    ``latency_ms`` is the median at batch 1 on one thread of this machine; a teacher's figures are means over institutions.
    """

    accuracy: dict[str, float]
    overall: float
    mean: float
    parameters: int | None = None
    bytes: int | None = None
    latency_ms: float | None = None


class RoundFigures(Frozen):
    """One round as the coordinator saw it; figures of a void round are absent."""

    number: int
    phase: str
    status: Literal["closed", "void"]
    survivors: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    reason: str = ""
    accuracy: float | None = None
    loss: float | None = None
    bytes_up: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0


class RoundCounts(Frozen):
    """How many training rounds were asked for, closed and void."""

    planned: int
    closed: int
    void: int


class Summary(Frozen):
    """Everything the report shows. ``metrics`` maps a model to its figures; ``seconds_by_part`` adds up to ``seconds``.

    Bytes are means over closed training rounds with headers, counters and shares; those down without the first, which
    carries the student whole. With ``answers`` institutions exchanged answers in place of weights: bytes are then a logit, not
    a parameter, and a training round's accuracy is that of the institutions' own students. ``epsilon`` at ``delta`` is what the
    updates have cost each institution's privacy (null: no noise). ``objective`` maps a sentence on which terms taught
    (:mod:`shared.distill.in_force`) to the institutions where they did, as their own folders say: nothing of it was sent.
    ``knowledge_trust`` is how far institutions' labels bear the knowledge graph out, their mean in the last training round, and
    ``knowledge_used`` the part of them that learn from it, both from masked sums (null: no graph). ``tables``: bytes that the student
    keeps of the public graph, by column.
    """

    name: str
    run: str
    run_dir: str
    artifact: str
    institutions: int
    records: dict[str, tuple[int, int]]
    labels: tuple[str, ...]
    seconds: float
    seconds_by_part: dict[str, float]
    peak_memory_mb: float
    rounds: RoundCounts
    history: tuple[RoundFigures, ...]
    metrics: dict[str, ModelFigures]
    agreement: float
    bytes_up_per_round: dict[str, float]
    bytes_up_per_parameter: float
    bytes_down_per_parameter: float
    answers: bool = False
    machine: str
    seed: int
    objective: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    knowledge_trust: float | None = None
    knowledge_used: float | None = None
    tables: dict[str, int] = Field(default_factory=dict)
    epsilon: float | None = None
    delta: float | None = None
    notes: tuple[str, ...] = ()

    def objectives(self) -> list[str]:
        """A line for each objective that taught, with the institutions' names where there are several, and one for the graph."""
        lines = [f"objective of {', '.join(names)}: {sentence}" for sentence, names in self.objective.items()]
        lines = [f"objective: {sentence}" for sentence in self.objective] if len(self.objective) == 1 else lines
        return [*lines, *self._graph(), *self._tables()]

    def _tables(self) -> list[str]:
        if not self.tables:
            return []
        kept = f"graph table: {sum(self.tables.values()):,} bytes of the artifact, for {', '.join(self.tables)}"
        if "pooled" not in self.metrics or "bare" not in self.metrics:
            return [f"{kept}; run with baselines to see what it buys"]
        own, bare = self.metrics["pooled"].overall, self.metrics["bare"].overall
        return [f"{kept}; on pooled records {100 * own:.1f} % are right with it and {100 * bare:.1f} % without, one seed"]

    def _graph(self) -> list[str]:
        if self.knowledge_trust is None or self.knowledge_used is None:
            return []
        used = round(self.knowledge_used * self.institutions)
        return [f"knowledge graph: borne out {self.knowledge_trust:.2f} of 1 by the labels in the mean; {used} institutions learn from it"]
