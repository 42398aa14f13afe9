"""A student made again keeps what still has its place."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from shared.compress.rewrite.remake import remade, shared_entry
from shared.models.checkpoint import model_bytes
from tests.support.networks import network
from tests.support.shapes import FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_without_changes_it_is_equal_and_another_object(name: str) -> None:
    student = network(*FAMILIES[name], seed=4)
    again = remade(student)
    assert model_bytes(again) == model_bytes(student)
    again.get_parameter("head.bias").data.zero_()
    assert model_bytes(again) != model_bytes(student)


def test_what_has_its_place_stays() -> None:
    student = network(*FAMILIES["table"], seed=4)
    made = remade(student, inner=8)
    assert torch.equal(made.get_parameter("blocks.2.mix.weight"), student.get_parameter("blocks.2.mix.weight"))
    assert made.get_parameter("blocks.2.widen.weight").shape == (8, 16)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="inner has 1 entries for 4 blocks"):
        remade(network(*FAMILIES["table"]), inner=(8,))


def test_one_entry_for_all_where_all_are_equal() -> None:
    assert shared_entry([4, 4, 4]) == 4
    assert shared_entry([4, 5]) == (4, 5)
