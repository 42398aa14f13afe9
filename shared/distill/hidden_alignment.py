"""The student's states should hold what the teacher's hold, up to a learnt linear map (FitNets, Romero et al. 2015; TinyBERT)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.distill.depth import Wanted, everything, hidden_weight, pairing
from shared.distill.masks import paired
from shared.distill.strategies import Distances
from shared.distill.term import Term, known
from shared.models.features import Features
from shared.models.layers import Linear, initialise
from shared.settings import HiddenMap


class HiddenAlignment(Term):
    """``1/n * sum_l w_l * mean((P_l h_l - norm(H_m(l)))²)`` over n layers l, with ``w_l`` and ``m`` of ``depth.py``.

    The layers are 0..S, or 1..S where layer 0 has a term of its own. ``h_l``: ``(batch, tokens, width)``, ``H``:
    ``(batch, tokens', width')``; ``P_l`` is a learnt affine map width -> width'; ``norm`` gives each token mean 0 and variance 1, so
    that the loss does not depend on the teacher's scale. Means are over real tokens. Where the numbers of tokens differ, both are
    first averaged over them.

    A ``"learned"`` map has ``norm(sum_j softmax(a_l)_j norm(H_j))`` for ``norm(H_m(l))``, j over the teacher's layers of the even
    map's shape (layer mixtures: ALP-KD, Passban et al. 2021, whose attention depends on the record; here ``a_l`` is one learnt vector,
    at first ``-|j - m(l)|``). The outer ``norm`` is there because a mixture that cancels itself out would be easy to match.

    Where a task has heads, a head's strategy may have another distance for its records in place of the squared one
    (:mod:`shared.distill.strategies`).
    """

    def __init__(
        self,
        student: Features,
        teacher: Features,
        decay: float,
        generator: torch.Generator,
        *,
        wanted: Wanted | None = None,
        hidden_map: HiddenMap = "uniform",
        embeddings: bool = True,
        distances: Distances | None = None,
    ) -> None:
        """``student`` and ``teacher``: features of any record, for their shapes, the teacher's as ``wanted`` (``None``: all its layers);
        ``embeddings``: whether layer 0 counts; ``distances``: by which strategy (``None``: the squared distance)."""
        super().__init__()
        self._distance = distances or Distances()
        places, last = (wanted or everything(teacher)).hidden, len(student.hidden_states) - 1
        even = pairing(last, places[-1], hidden_map)
        self.layers = tuple(range(0 if embeddings else 1, last + 1))
        self.weights = tuple(hidden_weight(layer, last, decay) / len(self.layers) for layer in self.layers)
        shapes = {place: state.shape[1:] for place, state in zip(places, teacher.hidden_states, strict=True)}
        choices = [_choices(shapes, layer, even[layer], hidden_map) for layer in self.layers]
        self.choices = tuple(tuple(places.index(place) for place in chosen) for chosen in choices)
        self.projections = nn.ModuleList(Linear(student.hidden_states[layer].shape[-1], shapes[even[layer]][-1]) for layer in self.layers)
        self.preferences = nn.ParameterList()
        if hidden_map == "learned":
            self.preferences.extend(_preference(chosen, even[layer]) for layer, chosen in zip(self.layers, choices, strict=True))
        initialise(self, generator)

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``: mean over tokens and the teacher's width; weighted over layers."""
        total = student.logits.new_zeros(len(student.logits))
        for place, (layer, weight) in enumerate(zip(self.layers, self.weights, strict=True)):
            pairs = [paired(student, known(teacher), layer, choice) for choice in self.choices[place]]
            state, _, mask = pairs[0]
            target = self._mixed([_normal(other) for _, other, _ in pairs], place)
            total = total + weight * self._distance(self.projections[place](state), target, mask, labels)
        return total

    def mixture(self, place: int) -> Tensor:
        """How much each of the teacher's layers in ``choices[place]`` counts: ``(choices,)``, of sum 1."""
        if not len(self.preferences):
            return torch.ones(1)
        return torch.softmax(self.preferences[place], dim=0)

    def _mixed(self, targets: list[Tensor], place: int) -> Tensor:
        if len(targets) == 1:
            return targets[0]
        return _normal(torch.tensordot(self.mixture(place), torch.stack(targets), dims=1))


def _normal(states: Tensor) -> Tensor:
    return functional.layer_norm(states, states.shape[-1:])


def _choices(shapes: dict[int, torch.Size], layer: int, even: int, hidden_map: HiddenMap) -> tuple[int, ...]:
    # What goes into the first block is no candidate for what comes out of one, nor the other way round.
    if hidden_map != "learned" or not layer or not even:
        return (even,)
    return tuple(place for place, shape in shapes.items() if place and shape == shapes[even])


def _preference(chosen: tuple[int, ...], even: int) -> nn.Parameter:
    return nn.Parameter(-torch.tensor([float(abs(place - even)) for place in chosen]))
