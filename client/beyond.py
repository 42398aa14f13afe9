"""What a round asks beyond the run's plan that this institution's operator approved: each finding is part of a sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from shared.secagg.messages import Plan
from shared.settings import KnowledgeTerms, ProxyTerms
from shared.work import AnswerWork, EntitiesWork, KnowledgeWork, LearningWork, TrainWork, Work, trains

_SLACK = 1 + 1e-9


def beyond(settings: Mapping[str, Any], plan: Plan, work: Work) -> Iterable[str]:
    """Every way in which a round differs for the worse; ``settings`` are those of an approved :class:`shared.signed.RunPlan`."""
    aggregation = settings.get("aggregation", {})
    if plan.clip_norm > aggregation.get("clip_norm", 0.0):
        yield f"the clip norm {plan.clip_norm:g} is longer"
    if plan.collusion < aggregation.get("collusion", 0):
        yield f"the collusion of {plan.collusion} that is withstood is less"
    if plan.smallest_cohort < aggregation.get("smallest_cohort", 0):
        yield f"the smallest cohort of {plan.smallest_cohort} is smaller"
    if trains(work) and settings.get("privacy") is not None:
        yield from _noise(settings, plan)
    if isinstance(work, LearningWork):
        if work.version >= _updates(settings):
            yield f"update {work.version + 1} is one more"
        for part in ("training", "distillation"):
            if getattr(work, part).model_dump(mode="json", exclude_none=True) != settings.get(part):
                yield f"[{part}] is another"
        yield from _exchange(settings.get("proxy"), work)
    if isinstance(work, LearningWork | EntitiesWork) and not _knows(settings.get("knowledge"), work):
        yield "[knowledge] is another"


def _noise(settings: Mapping[str, Any], plan: Plan) -> Iterable[str]:
    from shared.privacy.rounds import round_allowance, round_cost

    if plan.noise <= 0.0 or plan.count_noise <= 0.0:
        yield "the noise, which is none, is less"
        return
    privacy = settings["privacy"]
    cost = round_cost(plan, plan.collusion, plan.smallest_cohort)
    if cost > _SLACK * round_allowance(privacy["epsilon"], privacy["delta"], _updates(settings)):
        yield f"the noise of {plan.noise:g} steps, for [privacy] shared among {_updates(settings)} updates, is less"


def _updates(settings: Mapping[str, Any]) -> int:
    """As :attr:`shared.config.FederationConfig.update_rounds`, of settings without the coordinator's paths."""
    compression = settings.get("compression", {})
    healing = compression.get("healing_rounds", 0) if compression.get("prune", 0.0) else 0
    return int(settings.get("rounds", 0) + healing + compression.get("quantisation_aware", 0))


def _exchange(proxy: Mapping[str, Any] | None, work: LearningWork) -> Iterable[str]:
    """What leaves: weights, or answers to the proxy records that were approved."""
    if isinstance(work, AnswerWork) != (proxy is not None):
        yield "what is exchanged, weights or answers ([proxy]), is another"
    elif isinstance(work, AnswerWork) and proxy is not None:
        generated = proxy["source"] == "generated"
        amount = (work.records, work.missing) == (proxy["records"], proxy["missing"]) if generated else work.missing == 0.0
        if work.generated != generated or not amount or work.proxy != _part(ProxyTerms, proxy):
            yield "[proxy] is another"


def _knows(knowledge: Mapping[str, Any] | None, work: LearningWork | EntitiesWork) -> bool:
    """Whether a work asks of knowledge what was approved. Rounds that learn with a file's arithmetic ask for none of it."""
    if isinstance(work, EntitiesWork):
        return knowledge is not None and knowledge.get("shared", {}).get("slots") == work.slots
    if work.knowledge is None:
        return knowledge is None or (isinstance(work, TrainWork) and work.quantised is not None)
    return knowledge is not None and _same_terms(knowledge, work.knowledge)


def _same_terms(knowledge: Mapping[str, Any], asked: KnowledgeWork) -> bool:
    terms = KnowledgeTerms.model_validate({name: getattr(asked, name) for name in KnowledgeTerms.model_fields})
    return terms == _part(KnowledgeTerms, knowledge) and asked.mapping_sha256 == _mapping_digest(knowledge)


def _mapping_digest(knowledge: Mapping[str, Any]) -> str:
    from shared.knowledge.builtin import MAPPINGS
    from shared.knowledge.linking import parse_mapping

    own, builtin = knowledge.get("mapping"), knowledge.get("builtin")
    found = parse_mapping(json.dumps(own).encode()) if own is not None else MAPPINGS.get(builtin or "")
    return hashlib.sha256(found.canonical()).hexdigest() if found is not None else ""


def _part(kind: type[ProxyTerms] | type[KnowledgeTerms], table: Mapping[str, Any]) -> ProxyTerms | KnowledgeTerms:
    """The settings of ``kind`` among those of a part that has more."""
    return kind.model_validate({name: value for name, value in table.items() if name in kind.model_fields})
