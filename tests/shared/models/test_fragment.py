from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.models import to_vector
from shared.models.fragment import fragment_ranges, only_fragment
from shared.models.vector import parameters_in_order
from tests.support.networks import network

MODEL = network()
NAMES = [name for name, _ in sorted(MODEL.named_parameters())]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_ranges_hold_exactly_the_named_parameters(chosen: list[str]) -> None:
    inside = np.zeros(to_vector(MODEL).size, bool)
    ranges = fragment_ranges(MODEL, chosen)
    for start, stop in ranges:
        assert not inside[start:stop].any()
        inside[start:stop] = True
    assert inside.sum() == sum(MODEL.get_parameter(name).numel() for name in chosen)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ranges))
    marked = network()
    for name in chosen:
        marked.get_parameter(name).data.fill_(7.5)
    assert ((to_vector(marked) == 7.5) == inside).all()


def test_everything_is_one_range() -> None:
    assert fragment_ranges(MODEL, ["*"]) == ((0, to_vector(MODEL).size),)


def test_a_pattern_that_matches_nothing_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"the fragment 'encoder\.\*' matches none of the student's parameters, such as"):
        fragment_ranges(MODEL, ["encoder.*"])


def test_only_the_fragment_is_trainable_inside_and_everything_again_outside() -> None:
    model = network()
    everything = len(parameters_in_order(model))
    with only_fragment(model, [NAMES[0]]):
        assert len(parameters_in_order(model)) == 1
    with only_fragment(model, None):
        assert len(parameters_in_order(model)) == everything
    assert len(parameters_in_order(model)) == everything
