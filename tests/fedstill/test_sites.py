"""As many institutions as were asked for, and never a record twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstill.sites import check_students, resize
from shared.config import FederationConfig
from shared.data import Records, Split
from shared.errors import ConfigError


def site(first: int, train: int, test: int) -> Split:
    numbers = np.arange(first, first + train + test)
    inputs = numbers.astype(np.float32)[:, None]
    labels = (numbers % 2).astype(np.int64)
    return Split(Records(inputs[:train], labels[:train]), Records(inputs[train:], labels[train:]))


SITES = {"big": site(0, 60, 20), "middle": site(100, 40, 12), "small": site(200, 14, 4)}


SHAPE = {"width": 8, "depth": 1}
TASK = {"family": "tabular", "label": "ill", "labels": ["no", "yes"], "columns": [{"name": "age"}]}


def everything(sites: dict[str, Split]) -> list[float]:
    return sorted(float(x) for split in sites.values() for part in (split.train, split.test) for x in part.inputs[:, 0])


@given(count=st.integers(3, 8), seed=st.integers(0, 50))
def test_more_sites_deal_the_same_records(count: int, seed: int) -> None:
    resized = resize(SITES, count, seed=seed)
    assert len(resized) == count
    assert everything(resized) == everything(SITES)
    assert all(set(split.train.labels.tolist()) == {0, 1} for split in resized.values())


def test_the_largest_site_is_halved_first_and_says_so() -> None:
    assert list(resize(SITES, 4, seed=1)) == ["big-1", "big-2", "middle", "small"]


def test_too_many_sites_lose_the_smallest() -> None:
    assert list(resize(SITES, 2, seed=1)) == ["big", "middle"]


@pytest.mark.parametrize(("count", "sentence"), [(1, "too small"), (500, "too many for these records")])
def test_what_cannot_be_dealt_is_refused(count: int, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        resize(SITES, count, seed=1)


def test_a_student_of_nobody_is_said() -> None:
    table = {"name": "trial", "task": TASK, "proxy": {"source": "generated"}, "students": {"big": SHAPE, "bgi": SHAPE}}
    with pytest.raises(ConfigError, match=r"\[students\] has 'bgi', which is none of the institutions: big, middle, small"):
        check_students(FederationConfig.model_validate(table), SITES)
    check_students(FederationConfig.model_validate(table | {"students": {"big": SHAPE}}), SITES)
