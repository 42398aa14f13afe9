"""The seam: own families, and anything that answers as Hugging Face models do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shared.models import Features, features
from shared.models.cells import activation_attention, cells
from shared.models.features import from_output, joined
from tests.support.networks import TABLE, inputs, network


@dataclass
class Output:
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class Foreign(torch.nn.Module):
    """Answers as a Hugging Face model does, if it is asked for its inside."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output = output
        self.asked: dict[str, Any] = {}

    def forward(self, inputs: Tensor, **asked: Any) -> Output:
        self.asked = asked
        return self.output


def test_own_models_are_asked_directly() -> None:
    model, batch = network(), torch.from_numpy(inputs(TABLE, 3))
    assert torch.equal(features(model, batch).logits, model(batch))


def test_a_transformer_from_elsewhere() -> None:
    states, maps = (torch.rand(2, 5, 8), torch.rand(2, 5, 8)), (torch.rand(2, 4, 5, 5),)
    model = Foreign(Output(torch.rand(2, 3), states, maps))
    found = features(model, torch.zeros(2, 1))
    assert model.asked == {"output_hidden_states": True, "output_attentions": True}
    assert found.hidden_states == states
    assert found.attentions == maps


def test_a_convolutional_net_from_elsewhere_gets_activation_attention() -> None:
    maps = (torch.rand(2, 4, 6, 6), torch.rand(2, 8, 3, 3))
    found = from_output(Output(torch.rand(2, 3), maps))
    assert torch.equal(found.hidden_states[1], cells(maps[1]))
    assert len(found.attentions) == 1
    assert torch.equal(found.attentions[0], activation_attention(maps[1]))


def test_a_model_that_shows_nothing_still_has_logits() -> None:
    logits = torch.rand(2, 3)
    found = from_output(Output(logits))
    assert found == Features(logits)


def test_taking_and_joining_are_inverse() -> None:
    whole = network().features(torch.from_numpy(inputs(TABLE, 7)))
    again = joined([whole.take(torch.arange(3)), whole.take(torch.arange(3, 7))])
    for one, other in zip(again.hidden_states + again.attentions, whole.hidden_states + whole.attentions, strict=True):
        assert torch.equal(one, other)
