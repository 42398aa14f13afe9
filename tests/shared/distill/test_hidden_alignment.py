"""Hidden states: which layers pair, what a learned mixture is, and that padding is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.distill.depth import wanted
from shared.distill.hidden_alignment import HiddenAlignment
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import DistillationSettings, HiddenMap
from tests.support.shown import LABELS, gradients, padded, reordered, shown, some

STUDENT, TEACHER = shown(layers=2, width=4), shown(layers=4, width=6, seed=20)
KINDS: tuple[HiddenMap, ...] = ("uniform", "last", "learned")


def term(
    kind: HiddenMap = "uniform", *, student: Features = STUDENT, teacher: Features = TEACHER, embeddings: bool = True
) -> HiddenAlignment:
    return HiddenAlignment(student, teacher, 0.5, generator(1, "p"), hidden_map=kind, embeddings=embeddings).double()


def norm(states: NDArray[np.float64]) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = (states - states.mean(axis=-1, keepdims=True)) / np.sqrt(states.var(axis=-1, keepdims=True) + 1e-5)
    return normal


def projected(found: HiddenAlignment, place: int, layer: int) -> NDArray[np.float64]:
    weight, bias = (parameter.detach().numpy() for parameter in found.projections[place].parameters())
    states: NDArray[np.float64] = STUDENT.hidden_states[layer].numpy() @ weight.T + bias
    return states


def test_the_last_layers_by_hand() -> None:
    found, expected = term("last"), np.zeros(3)
    for layer, other in enumerate((0, 3, 4)):
        gap = projected(found, layer, layer) - norm(TEACHER.hidden_states[other].numpy())
        expected += 0.5 ** (layer / 2) / 3 * (gap**2).mean(axis=(1, 2))
    assert found(STUDENT, TEACHER, LABELS).tolist() == pytest.approx(list(expected))


def test_a_learned_mixture_by_hand() -> None:
    found, expected = term("learned", embeddings=False), np.zeros(3)
    for place, (layer, even) in enumerate(((1, 2), (2, 4))):
        shares = np.exp([-abs(other - even) for other in range(1, 5)])
        shares /= shares.sum()
        mixed = sum(share * norm(TEACHER.hidden_states[other].numpy()) for share, other in zip(shares, range(1, 5), strict=True))
        gap = projected(found, place, layer) - norm(np.asarray(mixed))
        expected += 0.5 ** (layer / 2) / 2 * (gap**2).mean(axis=(1, 2))
        assert found.mixture(place).tolist() == pytest.approx(list(shares))
    assert found(STUDENT, TEACHER, LABELS).tolist() == pytest.approx(list(expected))


def test_a_mixture_moves_to_the_layer_that_can_be_matched() -> None:
    # The student's last state is the teacher's second; the projection is held at the identity.
    teacher = shown(layers=4, width=6, seed=20)
    student = Features(STUDENT.logits, (teacher.hidden_states[0], teacher.hidden_states[3], _normal(teacher.hidden_states[2])))
    found = term("learned", student=student, teacher=teacher)
    with torch.no_grad():
        for project in found.projections:
            project.get_parameter("weight").copy_(torch.eye(6))
            project.get_parameter("bias").zero_()
    optimizer = torch.optim.SGD(found.preferences.parameters(), lr=5.0)
    for _ in range(100):
        optimizer.zero_grad()
        found(student, teacher, LABELS).mean().backward()
        optimizer.step()
    assert found.mixture(2)[1] > 0.9


def _normal(states: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(states, states.shape[-1:])


def test_only_layers_of_one_shape_are_mixed() -> None:
    wide = Features(TEACHER.logits, (*TEACHER.hidden_states[:3], some(3, 5, 10), some(3, 5, 10, seed=1)))
    found = term("learned", teacher=wide)
    assert found.choices == ((0,), (1, 2), (3, 4))
    assert torch.isfinite(found(STUDENT, wide, LABELS)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_states_that_project_onto_the_teachers_cost_nothing(kind: HiddenMap) -> None:
    student = Features(TEACHER.logits, tuple(_normal(state) for state in (TEACHER.hidden_states[0],) * 3))
    teacher = Features(TEACHER.logits, (TEACHER.hidden_states[0],) * 5)
    found = term(kind, student=student, teacher=teacher)
    with torch.no_grad():
        for project in found.projections:
            project.get_parameter("weight").copy_(torch.eye(6))
            project.get_parameter("bias").zero_()
    assert found(student, teacher, LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-8)


@given(st.integers(1, 4), st.integers(0, 100), st.sampled_from(KINDS), st.sampled_from([5, 7]))
def test_padding_never_changes_it(extra: int, seed: int, kind: HiddenMap, tokens: int) -> None:
    teacher = shown(layers=4, width=6, tokens=tokens, seed=20)
    found = term(kind, teacher=teacher)
    changed = found(padded(STUDENT, extra, seed=seed), padded(teacher, extra, seed=seed + 1), LABELS)
    torch.testing.assert_close(changed, found(STUDENT, teacher, LABELS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("embedding", [0.0, 1.0])
def test_a_teacher_that_shows_only_what_is_wanted_teaches_the_same(kind: HiddenMap, embedding: float) -> None:
    places = wanted(2, 4, DistillationSettings(hidden_map=kind, embedding_weight=embedding))
    part = Features(TEACHER.logits, tuple(TEACHER.hidden_states[place] for place in places.hidden))
    found = HiddenAlignment(STUDENT, part, 0.5, generator(1, "p"), wanted=places, hidden_map=kind, embeddings=not embedding).double()
    torch.testing.assert_close(found(STUDENT, part, LABELS), term(kind, embeddings=not embedding)(STUDENT, TEACHER, LABELS))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_and_order(kind: HiddenMap) -> None:
    gradients(term(kind), padded(STUDENT, 2, seed=1), padded(TEACHER, 2, seed=2), LABELS)
    reordered(term(kind), STUDENT, TEACHER, LABELS)
