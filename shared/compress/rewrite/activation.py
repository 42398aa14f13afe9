"""An expensive activation swapped for a cheap one: a text's GELU becomes a ReLU. The other families have no expensive one."""

from __future__ import annotations

from shared.compress.rewrite.remake import remade
from shared.errors import ConfigError
from shared.models.network import Network
from shared.models.text import TextTransformer


def is_expensive(student: Network) -> bool:
    """Whether the student has an activation that :func:`cheap_activation` would swap."""
    return isinstance(student, TextTransformer) and student.settings.activation == "auto"


def cheap_activation(student: Network) -> Network:
    """The student with the same weights and ReLU in place of GELU, from which it differs by at most 0.17, near zero; to be healed.

    A ReLU is folded into the product before it when the net becomes INT8; a GELU stays in float between two conversions.
    Raises :class:`ConfigError` where there is none.
    """
    if not is_expensive(student):
        raise ConfigError("the student has no GELU to swap for a ReLU; leave this rewrite out")
    return remade(student, activation="relu")
