"""What this institution agrees to: its own settings against what a round asks. The coordinator cannot weaken them.

Every refusal is one sentence that operators at both ends can read. The protocol's own bounds (threshold, collusion,
headroom) are checked again, with the same settings, in ``shared/secagg``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shared.config import InstitutionConfig
from shared.errors import PolicyRefusal
from shared.secagg.messages import Plan
from shared.settings import PRUNED, NetworkSettings
from shared.work import (
    AnswerWork,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    EntitiesWork,
    ImportanceWork,
    LearningWork,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
    field_slices,
    trains,
)

EVALUATION_PREFIXES = ("eval_", "gate_", "train_loss")
"""Counters that say how well models do: they stay at zero where the policy lets no evaluation leave."""


def check_plan(config: InstitutionConfig, plan: Plan, work: Work) -> None:
    """Raises :class:`PolicyRefusal` if this institution does not agree to the round."""
    complaints = (
        *_protocol_complaints(config, plan),
        *_work_complaints(config, work),
        *_sharing_complaints(config, plan, work),
        *_shape_complaints(config, plan, work),
    )
    for complaint in complaints:
        raise PolicyRefusal(f"institution '{config.name}' refused round {plan.round}: {complaint}")


def allowed_counters(config: InstitutionConfig, work: Work, counters: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counters with every figure at zero that may not leave; how many records were used always may."""
    if "evaluation" in config.policy.metrics:
        return counters
    kept = counters.copy()
    for name, place in field_slices(counter_fields(work, config.task)):
        if name.startswith(EVALUATION_PREFIXES):
            kept[place] = 0
    return kept


def _protocol_complaints(config: InstitutionConfig, plan: Plan) -> Iterable[str]:
    policy = config.policy
    if len(plan.cohort) < policy.smallest_cohort:
        yield f"cohort of {len(plan.cohort)} is below its own smallest cohort {policy.smallest_cohort} (policy.smallest_cohort)"
    if plan.collusion < policy.collusion:
        yield f"the plan withstands {plan.collusion} colluding institutions, it wants {policy.collusion} (policy.collusion)"
    if plan.clip_norm > policy.longest_clip_norm:
        yield f"clip norm {plan.clip_norm:g} is above its own longest clip norm {policy.longest_clip_norm:g} (policy.longest_clip_norm)"
    if plan.round > policy.most_rounds:
        yield f"it takes part in at most {policy.most_rounds} rounds of a run (policy.most_rounds)"


def _work_complaints(config: InstitutionConfig, work: Work) -> Iterable[str]:
    policy = config.policy
    match work:
        case TrainWork() if "weights" not in policy.updates:
            yield "it lets no update of its student's weights leave, masked or not (policy.updates)"
        case AnswerWork() if "answers" not in policy.updates:
            yield "it lets no answers to proxy records leave, masked or not (policy.updates)"
        case TrainWork() | AnswerWork() if work.training.epochs > policy.most_epochs:
            yield f"{work.training.epochs} local epochs are more than its own {policy.most_epochs} (policy.most_epochs)"
        case AnswerWork() if work.records > policy.most_proxy_records:
            yield f"it answers at most {policy.most_proxy_records} proxy records, not {work.records} (policy.most_proxy_records)"
        case AnswerWork() if policy.proxy_sha256 not in (None, work.proxy_sha256):
            yield f"the proxy records with SHA-256 {work.proxy_sha256[:16]}… are not those it answers (policy.proxy_sha256)"
        case TrainWork() | AnswerWork() | EntitiesWork() if (digest := _public_graph(work)) and policy.graph_sha256 not in (None, digest):
            yield f"the knowledge graph with SHA-256 {digest[:16]}… is not the one it learns from (policy.graph_sha256)"
        case StatisticsRangeWork() | StatisticsMomentsWork() if "statistics" not in policy.metrics:
            yield "it lets no statistics of its records leave, masked or not (policy.metrics)"
        case CalibrateRangeWork() | CalibrateHistogramWork() if "activations" not in policy.metrics:
            yield "it lets no activation histograms leave, masked or not (policy.metrics)"
        case ImportanceWork() if "activations" not in policy.metrics:
            yield "it lets no statistics of its activations leave, masked or not (policy.metrics)"
        case _:
            pass


def _public_graph(work: LearningWork | EntitiesWork) -> str:
    if isinstance(work, EntitiesWork):
        return work.graph_sha256
    return work.knowledge.graph_sha256 if work.knowledge is not None else ""


def _sharing_complaints(config: InstitutionConfig, plan: Plan, work: Work) -> Iterable[str]:
    policy = config.policy
    shares = isinstance(work, EntitiesWork) or (isinstance(work, LearningWork) and work.knowledge is not None and work.knowledge.shared)
    if shares and not policy.entities:
        yield "it lets neither counts of its graph's hashed entities nor changes of their embeddings leave, masked or not (policy.entities)"
    if shares and plan.smallest_cohort < policy.smallest_cohort:
        yield (
            f"entities that {plan.smallest_cohort} institutions know are to be shared, it wants at least {policy.smallest_cohort} "
            "behind each (policy.smallest_cohort)"
        )


def _shape_complaints(config: InstitutionConfig, plan: Plan, work: Work) -> Iterable[str]:
    expected = sum(field.length for field in counter_fields(work, config.task))
    if plan.layout.counters != expected:
        yield f"the work '{work.kind}' has {expected} counters in its task, not {plan.layout.counters}; compare the two configurations"
    if (plan.layout.update_words > 0) != trains(work):
        yield f"the work '{work.kind}' does not go with an update of {plan.layout.update_words} words"
    if isinstance(work, TrainWork) and work.student is not None and _unpruned(work.student) != _unpruned(config.student):
        yield "the plan's student is not a pruned one of its own; compare the two configurations ([student])"
    if isinstance(work, AnswerWork) and work.student is not None:
        yield "answers come from its own student, and the plan names another"
    if isinstance(work, AnswerWork) and plan.layout.update_words != (size := work.records * len(config.task.labels)):
        yield (
            f"answers to {work.records} proxy records among its {len(config.task.labels)} labels are {size} words, "
            f"not {plan.layout.update_words}; compare the two configurations"
        )
    if isinstance(work, AnswerWork) and (plan.fragments or config.task.heads):
        yield "answers have neither fragments nor heads; leave them out of the federation, or leave out [proxy]"


def _unpruned(settings: NetworkSettings) -> dict[str, object]:
    """All that pruning and rewriting leave as it is: what a student reads, and how many activations it holds, is among it."""
    return settings.model_dump(exclude=set(PRUNED))
