"""Settings that travel in plans: defaults that hold together, one encoding, and no number that is none."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import ValidationError

from shared import settings
from shared.frozen import Frozen

KINDS = [kind for _, kind in inspect.getmembers(settings, inspect.isclass) if issubclass(kind, Frozen) and kind is not Frozen]
NEEDED: dict[str, dict[str, Any]] = {"NetworkSettings": {"width": 8, "depth": 2}, "TrainingSettings": {"epochs": 2}}
CASES = [(kind, name) for kind in KINDS for name, field in kind.model_fields.items() if field.annotation is float]


def made(kind: type[Frozen], **changed: Any) -> Frozen:
    return kind.model_validate(NEEDED.get(kind.__name__, {}) | changed)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_hold_and_come_back_as_they_were(kind: type[Frozen]) -> None:
    found = made(kind)
    assert kind.parse(found.canonical()) == found
    assert kind.parse(found.canonical()).canonical() == found.canonical()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_is_none_is_refused(kind: type[Frozen]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        made(kind, temperatur=2.0)


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_no_number_is_without_bounds(kind: type[Frozen], name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        made(kind, **{name: value})


def test_embeddings_need_an_even_width_for_complex_numbers() -> None:
    with pytest.raises(ValidationError):
        settings.EmbeddingTerms(width=7)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inner": (8, 8, 8)}, "inner has 3 entries for 2 blocks"),
        ({"block_heads": (1,)}, "block_heads has 1 entries for 2 blocks"),
        ({"convolution": ("plain",)}, "convolution has 1 entries for 2 blocks"),
        ({"stage_blocks": (2, 1)}, "stage_blocks has 3 blocks in all, depth says 2"),
        ({"stage_blocks": (0, 2)}, "greater than or equal to 1"),
        ({"inner": 0}, "greater than or equal to 1"),
    ],
)
def test_shapes_that_do_not_fit_their_blocks_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        made(settings.NetworkSettings, **changed)


def test_each_block_has_its_own_shape_or_the_common_one() -> None:
    common = settings.NetworkSettings(width=8, depth=2, heads=2)
    assert (common.inner_of(1, 16), common.heads_of(1), common.width_of_heads(), common.convolution_of(1)) == (16, 2, 4, "standardised")
    own = settings.NetworkSettings(
        width=8, depth=2, heads=2, inner=(3, 5), block_heads=(1, 2), head_width=3, convolution=("plain", "separable")
    )
    assert (own.inner_of(1, 16), own.heads_of(0), own.width_of_heads(), own.convolution_of(1)) == (5, 1, 3, "separable")
