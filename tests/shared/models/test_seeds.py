"""A purpose has its own random numbers, the same in every process."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.models.seeds import derive, generator

parts = st.lists(st.text(max_size=5) | st.integers(0, 9), min_size=1, max_size=3)


@given(st.integers(0, 2**62), parts, parts)
def test_only_equal_purposes_share_a_seed(seed: int, one: list[str | int], other: list[str | int]) -> None:
    equal = [str(part) for part in one] == [str(part) for part in other]
    assert (derive(seed, *one) == derive(seed, *other)) == equal
    assert 0 <= derive(seed, *one) < 2**63


def test_parts_do_not_run_together() -> None:
    assert derive(1, "ab", "c") != derive(1, "a", "bc")


def test_draws_are_pinned() -> None:
    # A change here changes every student that was ever trained: runs could not be resumed or repeated.
    assert derive(7, "weights") == PINNED
    assert torch.equal(torch.rand(3, generator=generator(7, "x")), torch.rand(3, generator=generator(7, "x")))


PINNED = 6415462692721644817


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    torch.rand(5, generator=generator(1, "a"))
    assert torch.equal(before, torch.random.get_rng_state())
