"""Averaging in the clear is McMahan's mean; what is compared with it is what the ring would give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.averaging import ComparedAveraging, PlainAveraging, RingAveraging, plain_mean, relative
from shared.config import FederationConfig
from shared.secagg.messages import Layout, Plan
from shared.settings import DistillationSettings, TrainingSettings
from shared.work import GateWork, Normalisation, TrainWork, Work, counter_fields
from tests.support.secagg import Federation
from tests.support.small import federation_table

WORK = TrainWork(version=0, seed=1, normalisation=Normalisation(), training=TrainingSettings(), distillation=DistillationSettings())
NAMES = ("ash", "birch", "elm")


@dataclass(frozen=True)
class Done:
    update: NDArray[np.float32] | None
    weight: int
    counters: NDArray[np.int64]


def config(**aggregation: Any) -> FederationConfig:
    return FederationConfig.model_validate(federation_table(2, aggregation=aggregation))


def plan(size: int, work: Work = WORK, **changed: Any) -> Plan:
    counters = sum(field.length for field in counter_fields(work, config().task))
    return replace(Federation(NAMES).plan(), layout=Layout(size, counters, 32), **changed)


def done(size: int, seed: int, weights: tuple[int, ...] = (10, 40, 90), norm: float = 0.5) -> dict[str, Done]:
    random, counts = np.random.default_rng(seed), plan(size).layout.counters
    return {
        name: Done(random.normal(0, norm / np.sqrt(size), size).astype(np.float32), weight, np.full(counts, weight, np.int64))
        for name, weight in zip(NAMES, weights, strict=True)
    }


@given(st.integers(1, 200), st.integers(0, 2**32))
def test_the_plain_mean_weighs_by_records(size: int, seed: int) -> None:
    heard = done(size, seed)
    expected = sum(each.weight * each.update.astype(np.float64) for each in heard.values() if each.update is not None) / 140
    sums = PlainAveraging()(plan(size), WORK, heard, config(clip_norm=100.0))
    np.testing.assert_allclose(sums.mean, expected, atol=1e-12)
    assert (sums.weight, int(sums.counters["eval_records"][0]), sums.survivors) == (140, 140, NAMES)


def test_the_plain_mean_has_the_cap_and_the_clip_norm_of_the_settings() -> None:
    heard = done(50, 0, weights=(100, 5000, 100), norm=8.0)
    sums = PlainAveraging()(plan(50, clip_norm=0.01), WORK, heard, config(clip_norm=2.0))
    units = [each.update / np.linalg.norm(each.update) for each in heard.values() if each.update is not None]
    np.testing.assert_allclose(sums.mean, 2.0 * np.mean(units, axis=0), rtol=1e-6)
    assert sums.weight == 300


@given(st.integers(1, 200), st.integers(0, 2**32))
def test_a_wide_ring_gives_the_plain_sums_but_for_its_rounding(size: int, seed: int) -> None:
    heard, settings = done(size, seed), config(clip_norm=1.0)
    ring, plain = (average(plan(size), WORK, heard, settings) for average in (RingAveraging(), PlainAveraging()))
    np.testing.assert_allclose(ring.mean, plain.mean, atol=1e-7)
    assert ring.weight == plain.weight
    for name, counts in plain.counters.items():
        if name != "unclipped":
            assert ring.counters[name].tolist() == counts.tolist()


def test_what_is_compared_is_the_ring_s_sum() -> None:
    compared, ring, settings = ComparedAveraging(), RingAveraging(), config(clip_norm=1.0)
    for number in (1, 2, 3):
        asked = replace(plan(100), layout=Layout(100, plan(100).layout.counters, 8), round=number)
        one, other = (average(asked, WORK, done(100, number), settings) for average in (compared, ring))
        assert one.mean.tobytes() == other.mean.tobytes()
    means, plain = np.array(compared.means), np.array(compared.plain)
    each = np.linalg.norm(means - plain, axis=1) / np.linalg.norm(plain, axis=1)
    assert compared.error == pytest.approx(each.mean())
    assert compared.drift == pytest.approx(np.linalg.norm((means - plain).sum(axis=0)) / np.linalg.norm(plain.sum(axis=0)))
    assert 0.1 < compared.error < 10


def test_rounds_that_only_count_are_summed_and_not_compared() -> None:
    work, compared = GateWork(candidates=("u8u8",)), ComparedAveraging()
    counts = plan(0, work).layout.counters
    heard = {name: Done(None, 7, np.arange(counts, dtype=np.int64)) for name in NAMES}
    sums = [average(plan(0, work), work, heard, config()) for average in (compared, PlainAveraging())]
    assert [one.mean.size for one in sums] == [0, 0]
    one, other = ({name: value.tolist() for name, value in each.counters.items()} for each in sums)
    assert one == other
    assert compared.means == compared.plain == []


def test_a_zero_update_stays_zero() -> None:
    heard = {name: replace(each, update=np.zeros(9, np.float32)) for name, each in done(9, 0).items()}
    assert not plain_mean(plan(9), heard, 1.0).any()


def test_a_relative_distance() -> None:
    assert relative(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == pytest.approx(0.2)
