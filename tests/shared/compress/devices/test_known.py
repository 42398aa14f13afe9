from __future__ import annotations

from importlib import resources

import pytest
import tomli_w

from shared.compress.devices import DEVICES, GRIDS, check_profile_name, find_profile, read_profile
from shared.errors import ConfigError, MissingFileError

NAMES = {"portable", "x86-avx2", "x86-avx512-vnni", "cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "jetson-orin-cpu"}


def written(tmp_path, **changes):
    """A profile file of its own: a known one with changes."""
    table = DEVICES["cortex-a72"].model_dump(mode="json", exclude_none=True) | changes
    path = tmp_path / "own.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def test_every_profile_file_is_known_by_its_name():
    folder = resources.files("shared.compress.devices") / "profiles"
    assert {entry.name for entry in folder.iterdir() if entry.name.endswith(".toml")} == {f"{name}.toml" for name in NAMES}
    assert set(DEVICES) == set(GRIDS) == NAMES
    for name, profile in DEVICES.items():
        assert profile.name == name
        assert GRIDS[name] == profile.grids
        assert find_profile(name) is profile


def test_a_profile_of_one_s_own_is_read_by_its_path(tmp_path):
    profile = find_profile(str(written(tmp_path, name="gateway")))
    assert profile.name == "gateway"
    assert profile.clock == DEVICES["cortex-a72"].clock


def test_portable_stands_for_every_other_device():
    assert set(DEVICES["portable"].stands_for) == NAMES - {"portable"}
    assert not any(DEVICES[name].stands_for for name in NAMES - {"portable"})


def test_a_profile_of_one_s_own_may_stand_for_others(tmp_path):
    assert read_profile(written(tmp_path, stands_for=["cortex-a53", "x86-avx512-vnni"])).stands_for == ("cortex-a53", "x86-avx512-vnni")
    careful = written(tmp_path, stands_for=["cortex-a53", "x86-avx2"], grids=list(GRIDS["portable"]))
    assert read_profile(careful).stands_for == ("cortex-a53", "x86-avx2")


def test_an_unknown_name_is_told_the_nearest_one():
    with pytest.raises(ConfigError, match=r"unknown device 'cortex-a75' \(did you mean 'cortex-a\d\d'\?\); use one of portable, "):
        check_profile_name("cortex-a75")
    with pytest.raises(ConfigError, match="unknown device 'abacus'"):
        find_profile("abacus")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"speed": 3}, "'speed': Extra inputs are not permitted"),
        ({"grids": ["u4"]}, "unknown grid 'u4'; known are"),
        ({"sources": {}}, r"names the source 'board', which \[sources\] has not"),
        ({"clock": {"value": -1.0, "source": "board"}}, "'clock.value': Input should be greater than 0"),
        ({"clock": {"value": float("inf"), "source": "board"}}, "'clock.value': Input should be a finite number"),
        ({"clock": 3.0}, "'clock'"),
        ({"format": 2}, "'format'"),
        ({"stands_for": ["abacus"]}, "'stands_for': there is no device 'abacus'; name some of x86-avx2, "),
        ({"stands_for": ["portable"]}, "'stands_for': there is no device 'portable'"),
        ({"stands_for": ["cortex-a53", "x86-avx2"]}, "'grids': some may overflow on 'x86-avx2'; those of 'portable' do not: u8s8-7bit, "),
    ],
)
def test_a_broken_profile_is_one_sentence(tmp_path, changes, sentence):
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_profile(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path):
    path = tmp_path / "own.toml"
    with pytest.raises(MissingFileError, match="device profile"):
        read_profile(path)
    path.write_bytes(b"\xff\x00")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_profile(path)
