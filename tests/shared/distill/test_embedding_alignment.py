"""Embeddings against their formula, whatever the padding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.embedding_alignment import EmbeddingAlignment
from shared.models.features import Features
from shared.models.seeds import generator
from tests.support.shown import LABELS, gradients, padded, reordered, shown

STUDENT, TEACHER = shown(layers=2, width=4), shown(layers=3, width=6, seed=20)


def term(student: Features = STUDENT, teacher: Features = TEACHER) -> EmbeddingAlignment:
    return EmbeddingAlignment(student, teacher, generator(1, "e")).double()


def test_by_hand() -> None:
    weight, bias = (parameter.detach().numpy() for parameter in term().project.parameters())
    projected = STUDENT.hidden_states[0].numpy() @ weight.T + bias
    expected = ((projected - TEACHER.hidden_states[0].numpy()) ** 2).mean(axis=(1, 2))
    assert term()(STUDENT, TEACHER, LABELS).tolist() == pytest.approx(list(expected))


def test_embeddings_that_project_onto_the_teachers_cost_nothing() -> None:
    found = term()
    teacher = Features(TEACHER.logits, (found.project(STUDENT.hidden_states[0]).detach(),))
    assert found(STUDENT, teacher, LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-12)


@given(st.integers(1, 4), st.integers(0, 100), st.sampled_from([5, 7]))
def test_padding_never_changes_it(extra: int, seed: int, tokens: int) -> None:
    teacher = shown(layers=1, width=6, tokens=tokens, seed=20)
    expected = term(STUDENT, teacher)(STUDENT, teacher, LABELS)
    found = term(STUDENT, teacher)(padded(STUDENT, extra, seed=seed), padded(teacher, extra, seed=seed + 1), LABELS)
    torch.testing.assert_close(found, expected)


def test_gradients_and_order() -> None:
    gradients(term(), padded(STUDENT, 2, seed=1), padded(TEACHER, 2, seed=2), LABELS)
    reordered(term(), STUDENT, TEACHER, LABELS)
