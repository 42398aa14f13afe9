from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.compress.cost.kinds import DENSE
from shared.compress.cost.operators import Operator
from shared.compress.cost.roofline import STEPS, bandwidth, padded_work, seconds
from shared.compress.devices import DEVICES, Quantity

PROFILE = DEVICES["cortex-a76"]


def gemm(rows, inner, columns, *, int8=False, kind="gemm"):
    size = 1 if int8 else 4
    return Operator(
        node="n",
        operator="MatMul",
        kind=kind,
        int8=int8,
        rows=rows,
        work=inner * columns,
        columns=columns,
        macs=rows * inner * columns,
        reads=rows * inner * size,
        writes=rows * columns * size,
        weights=inner * columns * size,
    )


SIZE = st.integers(1, 2000)


@pytest.mark.parametrize("device", DEVICES)
@given(rows=SIZE, inner=SIZE, columns=SIZE, which=st.integers(0, 2), times=st.integers(2, 5), int8=st.booleans())
def test_more_work_never_takes_less(device, rows, inner, columns, which, times, int8):
    sizes = [rows, inner, columns]
    before = seconds(gemm(*sizes, int8=int8), DEVICES[device])
    sizes[which] *= times
    assert seconds(gemm(*sizes, int8=int8), DEVICES[device]) >= before


def test_columns_are_filled_up_to_whole_blocks():
    assert padded_work(gemm(4, 10, 17), PROFILE) == padded_work(gemm(4, 10, 32), PROFILE) == 320


def test_bytes_come_from_the_smallest_cache_that_holds_them():
    assert bandwidth(1, PROFILE) == PROFILE.caches[0].bandwidth.value
    assert bandwidth(10**9, PROFILE) == PROFILE.memory_bandwidth.value


@pytest.mark.parametrize(("device", "gain"), [("cortex-a53", 1.2), ("cortex-a76", 4.0)])
def test_int8_gains_what_the_instructions_do(device, gain):
    times = [seconds(gemm(256, 512, 512, int8=int8), DEVICES[device]) - DEVICES[device].dispatch.value for int8 in (False, True)]
    assert times[0] / times[1] == pytest.approx(gain, rel=0.01)


def with_depthwise(**rates):
    return DEVICES["portable"].model_copy(update={name: Quantity(value=value, source="core") for name, value in rates.items()})


def computing(operator, profile):
    return seconds(operator, profile) - profile.dispatch.value


def test_depthwise_convolutions_have_rates_of_their_own():
    profile = with_depthwise(depthwise_float_macs=2.0, depthwise_int8_macs=3.0)
    for int8, rate in ((False, 2.0), (True, 3.0)):
        operator = gemm(4096, 4096, 16, int8=int8, kind="depthwise")
        expected = operator.rows * operator.work / (rate * profile.clock.value * profile.attained.value)
        assert computing(operator, profile) == pytest.approx(expected)
        for kind in DENSE - {"depthwise"}:
            assert seconds(dataclasses.replace(operator, kind=kind), profile) == seconds(
                dataclasses.replace(operator, kind=kind), DEVICES["portable"]
            )


@pytest.mark.parametrize("device", [name for name, profile in DEVICES.items() if profile.depthwise_int8_macs is None])
def test_where_a_profile_says_nothing_depthwise_convolutions_are_rather_left_in_float(device):
    whole, int8 = (computing(gemm(4096, 4096, 16, int8=int8, kind="depthwise"), DEVICES[device]) for int8 in (False, True))
    assert int8 >= whole


def test_every_light_kind_has_its_steps():
    light = dataclasses.replace(gemm(1, 1, 1), columns=0)
    for kind in STEPS:
        assert kind not in DENSE
        assert seconds(dataclasses.replace(light, kind=kind), PROFILE) >= PROFILE.dispatch.value
