from __future__ import annotations

import pytest

from shared.compress.devices import DEVICES, RECIPES, has_vnni, recipe
from shared.errors import ArtifactError


def test_every_grid_of_every_device_is_known():
    for device in DEVICES.values():
        for name in device.grids:
            assert recipe(name) is RECIPES[name]


@pytest.mark.parametrize("device", ["portable", "x86-avx2"])
def test_no_grid_that_can_saturate_is_allowed_where_it_may(device):
    assert not DEVICES[device].saturates


@pytest.mark.parametrize("device", ["x86-avx512-vnni", "cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "jetson-orin-cpu"])
def test_where_bytes_are_added_in_32_bits_full_range_comes_first(device):
    assert DEVICES[device].grids[0] == "u8s8"


def test_saturation_is_what_the_arithmetic_says():
    for how in RECIPES.values():
        overflow = not how.weights_only and how.grid.zero == 0 and 2 * 255 * how.grid.limit > 2**15 - 1
        assert how.grid.saturates == overflow


def test_unknown_recipe_is_named():
    with pytest.raises(ArtifactError, match="unknown grid 'u4'"):
        recipe("u4")


def test_vnni_is_read_from_the_system(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor: 0\nflags\t\t: fpu avx2 avx512_vnni\n")
    assert has_vnni(info) is True
    info.write_text("processor: 0\nflags\t\t: fpu avx2\n")
    assert has_vnni(info) is False
    info.write_text("nothing here\n")
    assert has_vnni(info) is None
    assert has_vnni(tmp_path / "absent") is None
