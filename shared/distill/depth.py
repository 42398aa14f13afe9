"""Which layer of the teacher teaches which of the student, how much, and so what a teacher has to show."""

from __future__ import annotations

from dataclasses import dataclass

from shared.models.features import Features
from shared.settings import DistillationSettings, HiddenMap


@dataclass(frozen=True)
class Wanted:
    """The teacher's places that an objective needs: ``hidden`` in 0..L, ``attentions`` in 1..L, each rising and without repeats.

    Targets hold only these, in this order, and the last is always the teacher's last layer where any layer past 0 is needed.
    """

    hidden: tuple[int, ...] = ()
    attentions: tuple[int, ...] = ()


def wanted(student_layers: int, teacher_layers: int, settings: DistillationSettings) -> Wanted:
    """What a teacher of ``teacher_layers`` blocks must show a student of ``student_layers``; nothing if it has no blocks to show."""
    if not teacher_layers or not student_layers:
        return Wanted()
    pairs = pairing(student_layers, teacher_layers, settings.hidden_map)
    later = {place for place in pairs[1:] if place}
    hidden, attentions = set[int](), set[int]()
    if settings.hidden_weight:
        learned = settings.hidden_map == "learned"
        hidden |= set(range(1, teacher_layers + 1)) if learned else set(pairs[1:])
    if settings.embedding_weight or settings.hidden_weight:
        hidden.add(0)
    if settings.attention_weight and settings.attention_loss == "relations":
        hidden |= later
    elif settings.attention_weight:
        attentions = later
    return Wanted(tuple(sorted(hidden)), tuple(sorted(attentions)))


def everything(teacher: Features) -> Wanted:
    """The places of a teacher that shows all its layers."""
    return Wanted(tuple(range(len(teacher.hidden_states))), tuple(range(1, len(teacher.attentions) + 1)))


def pairing(student_layers: int, teacher_layers: int, hidden_map: HiddenMap) -> tuple[int, ...]:
    """For student layer l = 0..S the teacher's: of ``"last"`` the last S in order (PKD-last, Sun et al. 2019, section 3),
    else evenly (:func:`layer_map`). A learned map starts from the even one.

    A teacher of fewer layers than the student teaches the surplus from its first.
    """
    if hidden_map != "last":
        return layer_map(student_layers, teacher_layers)
    return (0, *(max(teacher_layers - student_layers + layer, min(1, teacher_layers)) for layer in range(1, student_layers + 1)))


def layer_map(student_layers: int, teacher_layers: int) -> tuple[int, ...]:
    """For student layer l = 0..S the teacher's layer ``round(l * T / S)``: first to first, last to last, evenly between.

    The uniform map of TinyBERT (Jiao et al. 2020, section 3.1). Layer 0 is what goes into the first block.
    """
    return tuple((2 * layer * teacher_layers + student_layers) // (2 * student_layers) for layer in range(student_layers + 1))


def hidden_weight(layer: int, layers: int, decay: float) -> float:
    """``w_l = decay^(l / L)``, ``decay`` in (0, 1]: hidden states count most early, where widths have not yet diverged."""
    return float(decay ** (layer / layers))


def attention_weight(layer: int, layers: int, decay: float) -> float:
    """``1 - w_l``: attention counts most late, where it decides."""
    return 1.0 - hidden_weight(layer, layers, decay)
