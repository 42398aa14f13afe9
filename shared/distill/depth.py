"""Which layer of the teacher teaches which of the student, and how much."""

from __future__ import annotations


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
