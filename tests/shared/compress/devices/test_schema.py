from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.compress.devices import DEVICES, Cache, DeviceProfile, OperatorTable, Quantity, Source

MEASURED = {"kind": "measured", "reason": "the median of many", "machine": "m", "runtime": "r", "date": "2026-11-28"}


def table(**changes):
    entry = {"kind": "gemm", "int8": False, "source": "bench", "rows": [1, 8], "work": [16, 64], "seconds": [[1e-6, 2e-6], [2e-6, 4e-6]]}
    return OperatorTable.model_validate(entry | changes)


def changed(**changes):
    return DeviceProfile.model_validate(DEVICES["cortex-a72"].model_dump(mode="json") | changes)


@pytest.mark.parametrize("name", DEVICES)
def test_every_number_has_a_source_that_says_why(name):
    profile = DEVICES[name]
    named = list(profile.named_sources())
    depthwise = [rate for rate in (profile.depthwise_float_macs, profile.depthwise_int8_macs) if rate is not None]
    assert len(named) == 10 + len(depthwise) + 2 * len(profile.caches) + len(profile.operators)
    assert set(named) == set(profile.sources)


def test_a_measurement_without_its_machine_is_none():
    assert Source.model_validate(MEASURED).kind == "measured"
    for lost in ("machine", "runtime", "date"):
        with pytest.raises(ValidationError, match="names its machine, its runtime and its date"):
            Source.model_validate({key: value for key, value in MEASURED.items() if key != lost})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": [8, 1]}, "do not increase"),
        ({"work": [16, 16]}, "do not increase"),
        ({"seconds": [[1e-6, 2e-6]]}, "not one time for each"),
        ({"seconds": [[1e-6, 2e-6], [2e-6]]}, "not one time for each"),
        ({"seconds": [[2e-6, 1e-6], [2e-6, 4e-6]]}, "more work takes less time"),
        ({"seconds": [[2e-6, 3e-6], [1e-6, 4e-6]]}, "more work takes less time"),
    ],
)
def test_a_table_that_is_no_grid_of_growing_times_is_refused(changes, sentence):
    assert table().seconds[1][1] == 4e-6
    with pytest.raises(ValidationError, match=sentence):
        table(**changes)


def test_caches_grow_and_slow_down():
    small, large = DEVICES["cortex-a72"].caches
    with pytest.raises(ValidationError, match="not sorted"):
        changed(caches=[large.model_dump(), small.model_dump()])
    fast = Cache(bytes=large.bytes, bandwidth=Quantity(value=1e12, source="core"))
    with pytest.raises(ValidationError, match="slower than a larger one"):
        changed(caches=[small.model_dump(), fast.model_dump()])


def test_two_tables_of_one_kind_are_refused():
    sources = {name: source.model_dump(mode="json") for name, source in DEVICES["cortex-a72"].sources.items()} | {"bench": MEASURED}
    entry = table().model_dump(mode="json")
    assert changed(sources=sources, operators=[entry]).operators[0].kind == "gemm"
    with pytest.raises(ValidationError, match="of the same kind"):
        changed(sources=sources, operators=[entry, entry])
