from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PolicyRefusal
from shared.secagg.encoding import centred, mean_update, quantise
from shared.secagg.errors import IllegalPlan, VoidRound
from shared.secagg.fragments import MOST_CELLS, cells, joined, thin
from shared.secagg.institution import control
from shared.secagg.messages import Fragment, Layout, Plan
from tests.support.secagg import NAMES, Federation, Vector

SIZE = 12
PARTS: dict[str, Fragment] = {"ash": ((0, 8),), "elm": ((4, 6), (10, 12))}


def plan_of(federation: Federation, fragments: dict[str, Fragment] | None = None, **changed: Any) -> Plan:
    layout = Layout(SIZE, 1, 32)
    return federation.plan(layout=layout, fragments=PARTS if fragments is None else fragments, weight_cap=10, **changed)


def update_of(name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.linspace(-0.05, 0.05, SIZE, dtype=np.float32) * (1 + NAMES.index(name))


def vector(plan: Plan, name: str) -> Vector:
    weight = 2 + NAMES.index(name)
    words = quantise(update_of(name), weight, plan, np.random.default_rng(5), institution=name)
    return Vector(words, np.array([3], np.uint64), weight)


def played(federation: Federation, plan: Plan, lost: tuple[str, ...] = ()) -> Any:
    made = federation.coordinator(plan)
    for name in plan.cohort:
        if name not in lost:
            made.add(federation.mask(plan, name, vector(plan, name)))
    made.close()
    federation.agree(made)
    federation.unmask(made)
    return made.finish()


def expected(plan: Plan, survivors: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    mean = np.zeros(SIZE)
    for place in range(SIZE):
        names = [name for name in plan.cohort if any(a <= place < b for a, b in plan.fragments.get(name, ((0, SIZE),)))]
        here = [name for name in names if name in survivors]
        if len(names) >= plan.smallest_cohort and here:
            weights = [2 + NAMES.index(name) for name in here]
            mean[place] = np.average([update_of(name)[place] for name in here], weights=weights)
    return mean


RANGES = st.lists(st.integers(0, SIZE), min_size=2, max_size=4, unique=True).map(
    lambda edges: tuple(zip(sorted(edges)[: len(edges) // 2 * 2 : 2], sorted(edges)[1 : len(edges) // 2 * 2 : 2], strict=True))
)


@given(st.dictionaries(st.sampled_from(NAMES), RANGES, max_size=5))
def test_cells_are_a_partition_by_who_trains(fragments: dict[str, Fragment]) -> None:
    plan = plan_of(Federation(), fragments)
    covered = np.zeros(SIZE, int)
    for cell in cells(plan):
        assert cell.silent == (bool(plan.fragments) and len(cell.members) < plan.smallest_cohort)
        for start, stop in cell.ranges:
            covered[start:stop] += 1
            for name in plan.cohort:
                inside = [any(a <= place < b for a, b in plan.fragments.get(name, ((0, SIZE),))) for place in range(start, stop)]
                assert set(inside) == {name in cell.members}
    assert (covered == 1).all()


@given(st.integers(0, 1000))
def test_what_is_taken_is_put_back(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=SIZE)
    copy = np.zeros(SIZE)
    for cell in cells(plan_of(Federation())):
        assert cell.take(values).size == cell.size
        cell.put(copy, cell.take(values))
    assert copy.tobytes() == values.tobytes()


@pytest.mark.parametrize("rotation", [False, True])
def test_each_coordinate_is_the_mean_over_those_who_trained_it(rotation: bool) -> None:
    federation = Federation()
    plan = plan_of(federation, rotation=rotation)
    mean = mean_update(played(federation, plan), plan)
    assert np.allclose(mean, expected(plan, NAMES), atol=1e-5)
    assert [len(cell.members) for cell in cells(plan)] == [4, 5, 3, 4]


def test_words_outside_a_fragment_are_zero_before_they_are_masked() -> None:
    plan = plan_of(Federation())
    words = centred(vector(plan, "elm").update)
    assert (words[:4] == 0).all()
    assert (words[6:10] == 0).all()
    assert (words[4:6] != 0).any()


def test_a_lost_institution_takes_its_weight_out_of_its_cells_only() -> None:
    federation = Federation()
    plan = plan_of(federation)
    found = played(federation, plan, lost=("elm",))
    assert np.allclose(mean_update(found, plan), expected(plan, NAMES[:4]), atol=1e-5)


def test_a_coordinate_that_too_few_train_is_silent_and_never_applied() -> None:
    federation = Federation()
    plan = plan_of(federation, dict.fromkeys(NAMES[:3], ((0, 6),)))  # two of five train 6 to 12
    found = played(federation, plan)
    assert (found.update[6:] == 0).all()
    assert (mean_update(found, plan)[6:] == 0).all()
    assert found.cell_weights == (sum(range(2, 7)), 0)
    assert control(plan, "elm", 6).tolist() == [1, 6, 6, 0]


def test_a_set_that_leaves_too_few_behind_a_coordinate_is_not_opened() -> None:
    federation = Federation()
    plan = plan_of(federation, dict.fromkeys(NAMES[:2], ((0, 6),)))  # three of five train 6 to 12
    assert [cell.ranges for cell in thin(plan, NAMES[:4])] == [((6, 12),)]
    with pytest.raises(VoidRound, match="fewer than 3 are left of those who trained coordinate 6"):
        played(federation, plan, lost=("elm",))


def test_an_institution_refuses_such_a_set_whatever_the_coordinator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = Federation()
    plan = plan_of(federation, dict.fromkeys(NAMES[:2], ((0, 6),)))
    monkeypatch.setattr("shared.secagg.coordinator.CoordinatorRound._check_openable", lambda self, survivors: None)
    with pytest.raises(IllegalPlan, match="those who trained coordinate 6 only cedar, dogwood would be left, fewer than 3"):
        played(federation, plan, lost=("elm",))


def test_a_plan_may_not_go_below_an_institutions_own_smallest_cohort() -> None:
    federation = Federation()
    with pytest.raises(PolicyRefusal, match="a coordinate that 2 train may be sent, it wants at least 3"):
        federation.institutions["ash"].check(plan_of(federation, smallest_cohort=2), federation.keys)


def test_who_sends_beyond_its_fragment_is_found_in_the_sum() -> None:
    federation = Federation()
    plan = plan_of(federation, dict.fromkeys(NAMES[:3], ((0, 6),)))
    made = federation.coordinator(plan)
    for name in NAMES:
        content = vector(plan, name)
        if name == "ash":
            content.update[9] = 77
        made.add(federation.mask(plan, name, content))
    made.close()
    federation.unmask(made)
    with pytest.raises(VoidRound, match="not within its fragment"):
        made.finish()


@pytest.mark.parametrize(
    ("fragments", "sentence"),
    [
        ({"zebra": ((0, 3),)}, "'zebra' has a fragment and is not in the cohort"),
        ({"ash": ((3, 1),)}, "not a list of ranges in order"),
        ({"ash": ((0, 3), (2, 5))}, "not a list of ranges in order"),
        ({"ash": ((0, 13),)}, "within 12 coordinates"),
        ({"ash": ()}, "not a list of ranges"),
    ],
)
def test_fragments_that_are_none_are_refused(fragments: dict[str, Fragment], sentence: str) -> None:
    federation = Federation()
    with pytest.raises(IllegalPlan, match=sentence):
        federation.institutions["ash"].check(plan_of(federation, fragments), federation.keys)


def test_cells_are_bounded() -> None:
    # Institution j trains the coordinates whose j-th bit is set: every coordinate is a cell of its own.
    names = tuple(f"i{index:02d}" for index in range(9))
    federation = Federation(names)
    parts = {name: tuple((at, at + 1) for at in range(512) if at >> bit & 1) for bit, name in enumerate(names)}
    touching = {name: joined(ranges) for name, ranges in parts.items()}
    plan = federation.plan(layout=Layout(512, 1), fragments=touching)
    assert len(cells(plan)) == 512 > MOST_CELLS
    with pytest.raises(IllegalPlan, match="more than 256 cells"):
        federation.institutions["i00"].check(plan, federation.keys)
