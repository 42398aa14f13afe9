"""What every round of learning is told, whether weights or answers come back."""

from __future__ import annotations

from server import knowledge, pruning
from server.state import RunState
from shared.config import FederationConfig
from shared.work import AT_THE_END, LearningWork


def learning(state: RunState, config: FederationConfig) -> LearningWork:
    """What :class:`shared.work.TrainWork` and :class:`shared.work.AnswerWork` say alike: one is made by ``**dict(learning(…))``."""
    facts = state.facts
    quantised = facts.float_version is not None
    return LearningWork(
        version=facts.version,
        seed=config.seed,
        normalisation=facts.normalisation,
        training=config.training,
        distillation=config.distillation,
        label_shares=facts.label_shares,
        error_feedback=config.aggregation.error_feedback,
        span=AT_THE_END if quantised else pruning.span(state, config),
        # Shared rows are settled by then, and the grid is to change as little as can be of what was learnt.
        knowledge=None if quantised else knowledge.work(state, config),
        student=facts.student,
        begun=facts.begun,
    )
