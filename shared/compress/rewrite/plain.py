"""Standardised convolutions as ones whose kernel may be any: what can be cut and split without changing what is left."""

from __future__ import annotations

from shared.compress.rewrite.remake import remade, shared_entry
from shared.models.layers import StandardisedConv
from shared.models.network import Network
from shared.models.residual import ResidualNet


def plain_convolutions(student: Network) -> Network:
    """The same function without standardised kernels; the student itself where there are none.

    A standardised kernel has mean 0 over all its inputs: with some of them gone it could not stay what it was.
    """
    if not any(isinstance(module, StandardisedConv) for module in student.modules()):
        return student
    assert isinstance(student, ResidualNet)
    settings = student.settings
    kinds = [settings.convolution_of(place) for place in range(settings.depth)]
    # What is learnt of a standardised kernel is what is learnt of a shifted one, but for the shift, which is 0.
    return remade(student, convolution=shared_entry(["plain" if kind == "standardised" else kind for kind in kinds]))
