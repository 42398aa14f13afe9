from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.secagg import graph as module
from shared.secagg.graph import LARGEST_COMPLETE, LARGEST_DEGREE, Graph, cut_bound, degree_for, local_collusion, share_threshold_for
from shared.secagg.messages import EpochKey


def keys(members: int, epoch: int = 1) -> tuple[EpochKey, ...]:
    return tuple(EpochKey(f"i{index:04d}", "trial", epoch, bytes(32), index.to_bytes(32, "big"), b"") for index in range(members))


def parted(graph: Graph, present: set[str]) -> bool:
    """Whether the graph among ``present`` falls apart, by walking it."""
    if not present:
        return False
    seen, waiting = set(), [min(present)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [other for other in graph.neighbourhood(name) if other in present and other not in seen]
    return seen != present


@given(st.integers(5, 40), st.integers(1, 6))
def test_everyone_has_degree_neighbours_and_is_theirs(members: int, half: int) -> None:
    graph = Graph(keys(members), 2 * half)
    for key in keys(members):
        near = graph.neighbourhood(key.institution)
        assert len(near) == (members if 2 * half >= members - 1 else 2 * half + 1)
        assert list(near) == sorted(set(near))
        assert all(key.institution in graph.neighbourhood(other) for other in near)


def test_degree_0_is_the_complete_graph() -> None:
    graph = Graph(keys(6), 0)
    assert graph.neighbourhood("i0003") == tuple(key.institution for key in keys(6))
    assert graph.narrowest_cut(["i0000"]) == math.inf


def test_every_key_moves_the_places() -> None:
    one = Graph(keys(70), 8)
    changed = (*keys(70)[:-1], EpochKey("i0069", "trial", 1, bytes(32), bytes(31) + b"\xff", b""))
    assert any(one.neighbourhood(key.institution) != Graph(changed, 8).neighbourhood(key.institution) for key in keys(70))
    assert all(one.neighbourhood(key.institution) == Graph(keys(70)[::-1], 8).neighbourhood(key.institution) for key in keys(70))


def test_neighbours_are_drawn_evenly() -> None:
    drawn: Counter[str] = Counter()
    for epoch in range(600):
        drawn.update(set(Graph(keys(20, epoch), 4).neighbourhood("i0000")) - {"i0000"})
    counts = np.array([drawn[f"i{index:04d}"] for index in range(1, 20)])
    expected = 600 * 4 / 19
    # Chi-square with 18 degrees of freedom: 42.3 at a thousandth.
    assert ((counts - expected) ** 2 / expected).sum() < 42.3


@settings(max_examples=60)
@given(st.integers(9, 14), st.integers(1, 2), st.data())
def test_the_narrowest_cut_is_what_trying_everything_finds(members: int, half: int, data: st.DataObject) -> None:
    graph = Graph(keys(members), 2 * half)
    names = [key.institution for key in keys(members)]
    present = set(data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)))
    least = math.inf
    for count in range(len(present)):
        if any(parted(graph, present - set(taken)) for taken in itertools.combinations(sorted(present), count)):
            least = count
            break
    assert graph.narrowest_cut(present) == least


@given(st.integers(1, 5000), st.integers(0, 200))
def test_up_to_64_the_graph_is_complete_and_above_it_is_sparse(members: int, collusion: int) -> None:
    degree = degree_for(members, collusion)
    assert (degree == 0) == (members <= LARGEST_COMPLETE)
    assert degree % 2 == 0
    assert degree <= min(LARGEST_DEGREE, max(0, members - 2))


def test_the_degree_grows_with_the_logarithm() -> None:
    degrees = [degree_for(10**power * 2, 1) for power in (2, 3)]
    assert degrees == [38, 58]
    assert degree_for(10_000, 1) == 66


def test_few_colluding_institutions_are_counted_as_they_are() -> None:
    assert [local_collusion(1000, 52, count) for count in (0, 1, 3)] == [0, 1, 3]
    assert [cut_bound(1000, 52, count) for count in (0, 1, 3)] == [0, 1, 3]


def test_many_are_counted_by_the_tail_of_their_places() -> None:
    most = local_collusion(1000, 200, 100)
    assert 20 < most < 100  # 20 are expected
    # The plain tail, in floating point, on both sides of the bound.
    tails = [hypergeometric_tail(1000, 100, 201, count) * 1000 for count in (most, most - 1)]
    assert tails[0] <= 2.0**-80 < tails[1]
    assert share_threshold_for(1000, 200, 100) == (201 + most) // 2 + 1


def hypergeometric_tail(members: int, marked: int, drawn: int, above: int) -> float:
    ways = sum(math.comb(marked, count) * math.comb(members - marked, drawn - count) for count in range(above + 1, marked + 1))
    return ways / math.comb(members, drawn)


@pytest.mark.parametrize("members", [65, 200, 1000])
def test_a_round_bears_the_planned_loss(members: int) -> None:
    """Random losses of a fifth: every neighbourhood keeps its threshold and the survivors hang together, nearly always."""
    degree, rng = degree_for(members, 1), np.random.default_rng(members)
    graph, threshold = Graph(keys(members), degree), share_threshold_for(members, degree, 1)
    names = [key.institution for key in keys(members)]
    kept = math.floor(members * (1 - module.PLANNED_LOSS))
    for _ in range(20):
        present = set(rng.choice(names, kept, replace=False).tolist())
        assert min(len(graph.holders(name, present)) for name in present) >= threshold
        assert graph.narrowest_cut(present) > cut_bound(members, degree, 1)
