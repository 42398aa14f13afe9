from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.records import Records
from shared.data.split import FEWEST_RECORDS, USABLE_RECORDS, deal, dirichlet_deal, hold_out
from shared.errors import EmptyInstitutionError


def records(labels: list[int]) -> Records:
    return Records(np.arange(len(labels), dtype=np.float32)[:, None], np.array(labels, dtype=np.int64))


label_lists = st.lists(st.integers(0, 4), min_size=2, max_size=120)


@settings(max_examples=60, deadline=None)
@given(label_lists, st.floats(0.05, 0.95), st.integers(0, 2**62))
def test_a_hold_out_is_a_partition_with_both_parts_filled(labels: list[int], fraction: float, seed: int) -> None:
    split = hold_out(records(labels), fraction, seed=seed, site="a")
    ids = np.concatenate([split.train.inputs[:, 0], split.test.inputs[:, 0]])
    assert sorted(ids) == list(range(len(labels)))
    assert len(split.train) >= 1
    assert len(split.test) >= 1
    assert (np.diff(split.train.inputs[:, 0]) > 0).all()


@settings(max_examples=60, deadline=None)
@given(label_lists, st.floats(0.05, 0.95))
def test_each_label_is_held_out_alike_and_learnt_where_it_can_be(labels: list[int], fraction: float) -> None:
    split = hold_out(records(labels), fraction, seed=1, site="a")
    counts, held = np.bincount(labels, minlength=5), np.bincount(split.test.labels, minlength=5)
    assert (np.abs(held - counts * fraction) <= 1).all()
    if counts.max() >= 2:
        assert (held[counts > 0] < np.maximum(counts[counts > 0], 2)).all()


def test_a_hold_out_depends_on_seed_and_site_alone() -> None:
    pool = records([0, 1] * 40)
    first = hold_out(pool, 0.34, seed=7, site="a").test.inputs
    np.testing.assert_array_equal(first, hold_out(pool, 0.34, seed=7, site="a").test.inputs)
    assert not np.array_equal(first, hold_out(pool, 0.34, seed=8, site="a").test.inputs)
    assert not np.array_equal(first, hold_out(pool, 0.34, seed=7, site="b").test.inputs)
    assert len(first) == 27


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_records_to_hold_any_out_are_named_with_their_institution(count: int) -> None:
    with pytest.raises(EmptyInstitutionError, match=f"'cardiff' has {count} usable record"):
        hold_out(records([0] * count), 0.5, seed=1, site="cardiff")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=40, max_size=300), st.integers(2, 12), st.floats(1e-3, 1e3), st.integers(0, 2**62))
def test_a_deal_is_a_partition_that_leaves_every_site_usable(labels: list[int], sites: int, alpha: float, seed: int) -> None:
    parts = dirichlet_deal(np.array(labels), sites, alpha, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    least = max(FEWEST_RECORDS, min(USABLE_RECORDS, len(labels) // (2 * sites)))
    assert min(map(len, parts)) >= least
    again = dirichlet_deal(np.array(labels), sites, alpha, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_a_minute_alpha_still_deals_every_record() -> None:
    parts = dirichlet_deal(np.zeros(50, dtype=np.int64), 5, 1e-300, seed=3)
    assert sum(map(len, parts)) == 50
    assert min(map(len, parts)) == 5


def test_alpha_decides_how_much_sites_differ() -> None:
    labels = np.repeat(np.arange(4), 500)

    def spread(alpha: float) -> float:
        parts = dirichlet_deal(labels, 4, alpha, seed=5)
        return float(np.std([np.bincount(labels[part], minlength=4) / len(part) for part in parts]))

    assert spread(0.1) > 3 * spread(100.0)


def test_a_deal_names_its_sites() -> None:
    dealt = deal(records([0, 1] * 30), 3, 0.5, seed=7)
    assert list(dealt) == ["site-1", "site-2", "site-3"]
    assert sum(map(len, dealt.values())) == 60


def test_more_sites_than_records_allow_is_refused() -> None:
    with pytest.raises(EmptyInstitutionError, match=r"lower split.sites"):
        dirichlet_deal(np.zeros(7, dtype=np.int64), 4, 0.5, seed=1)
