"""Widths: filled up without changing an answer, and narrowed to what was asked."""

from __future__ import annotations

import pytest
import torch

from shared.compress.prune.anatomy import anatomy, inner_widths
from shared.compress.rewrite.widths import fill_up, narrow_stream
from shared.errors import CheckpointError
from tests.support.networks import inputs, network
from tests.support.shapes import FAMILIES, PRUNED

SHAPES = {**FAMILIES, **{f"pruned {name}": shape for name, shape in PRUNED.items()}}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("multiple", [6, 16])
@torch.no_grad()
def test_filled_up_a_student_answers_as_before(name: str, multiple: int) -> None:
    student = network(*SHAPES[name])
    wider = fill_up(student, multiple)
    rows = torch.from_numpy(inputs(student.task, 6))
    torch.testing.assert_close(wider(rows), student(rows), atol=1e-5, rtol=1e-4)
    assert all(block.inner % multiple == 0 for block in anatomy(wider).blocks)
    assert fill_up(wider, multiple) is wider


@pytest.mark.parametrize("name", FAMILIES)
def test_a_narrower_stream_is_as_wide_inside(name: str) -> None:
    student = network(*FAMILIES[name])
    half = narrow_stream(student, student.settings.width // 2)
    assert half.settings.width == student.settings.width // 2
    assert torch.isfinite(half(torch.from_numpy(inputs(student.task, 6)))).all()
    for own, old, width in zip(anatomy(half).blocks, anatomy(student).blocks, inner_widths(student), strict=True):
        assert own.heads == old.heads
        assert own.inner in (0, width)
    assert narrow_stream(student, student.settings.width) is student


@pytest.mark.parametrize("name", ["table", "residual"])
def test_a_stream_does_not_grow(name: str) -> None:
    student = network(*FAMILIES[name])
    with pytest.raises(CheckpointError, match="the initial model's only"):
        narrow_stream(student, student.settings.width * 2)
