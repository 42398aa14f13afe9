from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from shared.knowledge.encoder import COMPOSITIONS, CompositionLayer, Encoder, EncoderSettings, unseen_states
from shared.knowledge.sampling import Neighbours, both_ways
from shared.knowledge.triples import graph_of

GRAPH = graph_of([("a", "r", "b", 1.0), ("b", "r", "c", 1.0), ("c", "s", "d", 1.0), ("d", "s", "e", 1.0)])
LAYERS = ["rgcn", "subtract", "multiply", "correlate"]
Layer = Literal["rgcn", "subtract", "multiply", "correlate"]


def encoder(layer: Layer, layers: int) -> tuple[Encoder, torch.Tensor]:
    torch.manual_seed(0)
    return Encoder(6, len(GRAPH.relations), EncoderSettings(layer=layer, layers=layers)), torch.randn(5, 6)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_reads_one_hop_and_no_further(layer: Layer) -> None:
    edges, kinds = map(torch.from_numpy, both_ways(GRAPH))
    for layers in (0, 1, 2):
        model, states = encoder(layer, layers)
        states.requires_grad_()
        model(states, edges, kinds)[0].sum().backward()
        assert states.grad is not None
        reached = (states.grad.abs().sum(dim=1) > 0).tolist()
        assert reached == [place <= layers for place in range(5)]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_sampled_part_that_is_whole_gives_what_the_whole_graph_gives(layer: Layer) -> None:
    model, table = encoder(layer, 2)
    edges, kinds = map(torch.from_numpy, both_ways(GRAPH))
    part = Neighbours(GRAPH).sample(np.array([2, 0]), [9, 9], np.random.default_rng(0))
    torch.testing.assert_close(model.of(table, part)[:2], model(table, edges, kinds)[[2, 0]])


@pytest.mark.parametrize("layer", LAYERS)
def test_relation_and_direction_matter(layer: Layer) -> None:
    model, states = encoder(layer, 1)
    edge = torch.tensor([[1], [0]])
    found = [model(states, edge, torch.tensor([kind]))[0] for kind in range(4)]
    for one in range(4):
        for other in range(one):
            assert not torch.allclose(found[one], found[other])


def test_a_composition_layer_is_its_formula() -> None:
    torch.manual_seed(0)
    layer, states = CompositionLayer(4, 1, "multiply"), torch.randn(3, 4)
    found = layer(states, torch.tensor([[1, 2], [0, 0]]), torch.tensor([0, 1]))
    first = layer.forwards(states[1] * layer.kinds[0])
    second = layer.backwards(states[2] * layer.kinds[1])
    own = layer.self_weight(states * layer.loop)
    torch.testing.assert_close(found[0], own[0] + (first + second) / 2)
    torch.testing.assert_close(found[1:], own[1:])


def test_correlation_by_fourier_is_the_sum() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(5), torch.randn(5)
    expected = torch.stack([sum((one[i] * other[(k + i) % 5] for i in range(5)), torch.zeros(())) for k in range(5)])
    torch.testing.assert_close(COMPOSITIONS["correlate"](one, other), expected)


def test_an_unseen_entity_begins_as_the_mean_of_its_neighbours() -> None:
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = unseen_states(table, np.array([0, 0, 2]), np.array([0, 2, 1]), 3)
    assert found.tolist() == [[2.0, 3.0], [0.0, 0.0], [2.0, 3.0]]


@pytest.mark.parametrize("layer", ["rgcn", "subtract"])
def test_first_weights_are_drawn_from_the_given_generator_alone(layer: Literal["rgcn", "subtract"]) -> None:
    found = []
    for seed in (1, 1, 2):
        encoder = Encoder(8, 3, EncoderSettings(layer=layer))
        encoder.draw(torch.Generator().manual_seed(seed))
        found.append(torch.cat([part.detach().reshape(-1) for part in encoder.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert found[0].abs().max() < 2.0
