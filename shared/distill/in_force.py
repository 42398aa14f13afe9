"""Which terms of the objective teach, in one sentence: a term that was asked for may have nothing to compare."""

from __future__ import annotations

from shared.distill.attention_alignment import AttentionAlignment
from shared.distill.hidden_alignment import HiddenAlignment
from shared.distill.objective import Objective, token_by_token
from shared.distill.relation_alignment import RelationAlignment
from shared.models.features import Features
from shared.settings import DistillationSettings

NAMES = {"soft": "soft targets", "embedding": "embeddings", "hidden": "hidden states", "attention": "attention"}
"""What the settings can ask of a teacher, by the term's name."""


def in_force(objective: Objective, settings: DistillationSettings, student: Features, teacher: Features | None) -> str:
    """``0.3 labels + 0.7 soft targets (kl, T 2); not in force: attention (the teacher shows none)``.

    ``objective`` is what :func:`shared.distill.objective.declare` made of the other arguments. What holds the student near where it came
    from follows; the consensus of a federation, which is no term, does not.
    """
    parts = [
        f"{weight:g} {_named(name, objective, settings)}" for name, weight in objective.weights.items() if _pairs(objective, name) != 0
    ]
    if student.mask is not None and teacher is not None and teacher.hidden_states and not token_by_token(student, teacher):
        parts = [f"{part} of means over other tokens" if "embeddings" in part or "hidden" in part else part for part in parts]
    parts += [f"{settings.previous_weight:g} previous student"] if settings.previous_weight else []
    parts += [f"proximal ({settings.proximal:g})"] if settings.proximal else []
    idle = [f"{NAMES[name]} ({reason})" for name, reason in _idle(objective, settings, student, teacher).items()]
    return " + ".join(parts) + (f"; not in force: {', '.join(idle)}" if idle else "")


def _named(name: str, objective: Objective, settings: DistillationSettings) -> str:
    pairs = _pairs(objective, name)
    counted = f"{pairs} pair{'s' if pairs != 1 else ''}"
    match name:
        case "hard":
            return "labels"
        case "soft" if settings.teacher == "virtual":
            return f"smoothed labels (T {settings.temperature:g})"
        case "soft":
            return f"soft targets ({settings.output_loss}, T {settings.temperature:g})"
        case "pseudo":
            return f"pseudo-labels (from {settings.confidence:g})"
        case "hidden":
            return f"hidden states ({settings.hidden_map}, {counted})"
        case "attention":
            return f"attention ({settings.attention_loss}, {counted})"
        case _:
            return NAMES[name]


def _pairs(objective: Objective, name: str) -> int | None:
    """How many layers a term pairs; ``None`` of a term that pairs none."""
    match objective.terms[name]:
        case HiddenAlignment(layers=paired) | AttentionAlignment(terms=paired) | RelationAlignment(terms=paired):
            return len(paired)
        case _:
            return None


def _idle(objective: Objective, settings: DistillationSettings, student: Features, teacher: Features | None) -> dict[str, str]:
    asked = {
        "soft": 0.0 if settings.teacher == "pseudo" else settings.soft_weight,
        "embedding": settings.embedding_weight,
        "hidden": settings.hidden_weight,
        "attention": settings.attention_weight,
    }
    idle = [name for name, weight in asked.items() if weight and (name not in objective.terms or _pairs(objective, name) == 0)]
    return {name: _reason(name, objective, settings, student, teacher) for name in idle}


def _reason(name: str, objective: Objective, settings: DistillationSettings, student: Features, teacher: Features | None) -> str:
    if settings.teacher in ("virtual", "pseudo"):
        return f"teacher '{settings.teacher}' teaches nothing inside"
    if teacher is None:
        return "there is no teacher"
    if name in objective.terms:
        return "no two layers can be compared"
    maps = name == "attention" and settings.attention_loss == "rows"
    if not (student.attentions if maps else student.hidden_states):
        return "the student shows none"
    if name == "attention" and teacher.hidden_states and not token_by_token(student, teacher):
        return "the teacher reads other tokens"
    return "the teacher shows none"
