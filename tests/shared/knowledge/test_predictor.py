"""Scores against torch-geometric's, one product of matrices against single triples, and a loss that asks the right question."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from shared.knowledge.library import graph_layers
from shared.knowledge.predictor import LinkPredictor, Model, product

KINDS: dict[Model, str] = {"distmult": "DistMult", "complex": "ComplEx", "rotate": "RotatE"}
MODELS = st.sampled_from(sorted(KINDS))
TRIPLES = torch.tensor([[0, 0, 1], [2, 1, 0], [3, 0, 3], [4, 1, 2]])


def made(model: Model, entities: int = 5, width: int = 6, seed: int = 3) -> LinkPredictor:
    return LinkPredictor(model, entities, 2, width, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("model", KINDS)
def test_scores_are_those_of_torch_geometric(model: Model) -> None:
    own = made(model)
    parts = 1 if model == "distmult" else 2
    other = getattr(graph_layers(), KINDS[model])(5, 2, 6 // parts)
    with torch.no_grad():
        for table, rows in (("node_emb", own.entities), ("rel_emb", own.relations)):
            halves = [rows] if not hasattr(other, f"{table}_im") else rows.chunk(2, dim=1)
            for name, half in zip((table, f"{table}_im"), halves, strict=False):
                getattr(other, name).weight.copy_(half)
        # RotatE's score counts from a margin there, which a softmax does not see.
        wanted = other(*TRIPLES.T) - (other.margin if model == "rotate" else 0.0)
        torch.testing.assert_close(own(*TRIPLES.T), wanted)


@given(MODELS, st.integers(0, 9))
def test_all_answers_at_once_score_as_each_triple_does_from_both_sides(model: Model, seed: int) -> None:
    own = made(model, seed=seed)
    heads, relations, tails = TRIPLES.T
    with torch.no_grad():
        single = own(heads, relations, tails)
        after = own.match(own.questions(own.entities[heads], own.relations[relations], "tail"), own.entities)
        before = own.match(own.questions(own.entities[tails], own.relations[relations], "head"), own.entities)
    rows = torch.arange(len(TRIPLES))
    torch.testing.assert_close(after[rows, tails], single, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(before[rows, heads], single, atol=1e-5, rtol=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.booleans())
def test_the_product_is_that_of_complex_numbers(numbers: list[float], conjugate: bool) -> None:
    one, other = torch.tensor(numbers[:2], dtype=torch.float64), torch.tensor(numbers[2:], dtype=torch.float64)
    wanted = complex(*numbers[:2]) * (complex(*numbers[2:]).conjugate() if conjugate else complex(*numbers[2:]))
    torch.testing.assert_close(product(one, other, conjugate=conjugate), torch.tensor([wanted.real, wanted.imag], dtype=torch.float64))


@pytest.mark.parametrize("model", KINDS)
def test_with_all_entities_as_wrong_answers_the_loss_is_the_full_softmax(model: Model) -> None:
    own = made(model)
    heads, relations, tails = TRIPLES.T
    after = own.match(own.questions(own.entities[heads], own.relations[relations], "tail"), own.entities)
    before = own.match(own.questions(own.entities[tails], own.relations[relations], "head"), own.entities)
    wanted = functional.cross_entropy(after, tails) + functional.cross_entropy(before, heads)
    torch.testing.assert_close(own.loss(TRIPLES, 16, 0.0, torch.Generator()), wanted, atol=1e-5, rtol=1e-4)


def test_drawn_wrong_answers_stand_for_all_of_them() -> None:
    own = made("complex", entities=400, width=4, seed=1)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        drawn = torch.stack([own.loss(TRIPLES, 200, 0.0, random) for _ in range(200)])
        whole = own.loss(TRIPLES, 400, 0.0, random)
    assert abs(float(drawn.mean() - whole)) < 4 * float(drawn.std()) / math.sqrt(len(drawn)) + 0.01


@pytest.mark.parametrize(("model", "used"), [("distmult", True), ("complex", True), ("rotate", False)])
def test_the_penalty_is_the_cubes_of_what_a_triple_uses(model: Model, used: bool) -> None:
    own = made(model)
    heads, relations, tails = TRIPLES.T
    cubes = [part.abs().pow(3).sum(dim=1).mean() for part in (own.entities[heads], own.entities[tails], own.relations[relations])]
    more = own.loss(TRIPLES, 16, 0.5, torch.Generator()) - own.loss(TRIPLES, 16, 0.0, torch.Generator())
    torch.testing.assert_close(more, 0.5 * (cubes[0] + cubes[1] + (cubes[2] if used else 0.0)), atol=1e-5, rtol=1e-4)
