"""The known profiles by name, and a user's own by its path."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from rapidfuzz import process

from shared.compress.devices.schema import DeviceProfile
from shared.errors import ConfigError
from shared.files import read_bytes

SUFFIX = ".toml"
_ORDER = ("portable", "x86-avx2", "x86-avx512-vnni", "cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "jetson-orin-cpu")


def read_profile(path: Path) -> DeviceProfile:
    """The profile in a TOML file. Raises :class:`ConfigError` with one sentence for one that cannot be used,
    :class:`MissingFileError` for none."""
    profile = _parse(read_bytes(path, what="device profile"), str(path))
    _check_stands_for(profile, str(path))
    return profile


def find_profile(name: str) -> DeviceProfile:
    """The known profile of that name, or the one in the file where ``name`` ends in ``.toml``. Raises :class:`ConfigError`."""
    if name.endswith(SUFFIX):
        return read_profile(Path(name))
    check_profile_name(name)
    return DEVICES[name]


def check_profile_name(name: str) -> None:
    """Raises :class:`ConfigError`, with the nearest known name, for one that is neither known nor a path to a ``.toml``."""
    if name in DEVICES or name.endswith(SUFFIX):
        return
    near = process.extractOne(name, list(DEVICES), score_cutoff=50)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    raise ConfigError(f"unknown device '{name}'{hint}; use one of {', '.join(DEVICES)}, or the path of a profile of your own, a .toml")


def _parse(content: bytes, where: str) -> DeviceProfile:
    try:
        table: dict[str, Any] = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    try:
        return DeviceProfile.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the profile"
        raise ConfigError(f"{where}: '{place}': {first['msg'].removeprefix('Value error, ')}; see docs/devices.md") from error


def _check_stands_for(profile: DeviceProfile, where: str) -> None:
    single = [name for name, device in DEVICES.items() if not device.stands_for]
    unknown = [name for name in profile.stands_for if name not in single]
    if unknown:
        raise ConfigError(f"{where}: 'stands_for': there is no device '{unknown[0]}'; name some of {', '.join(single)}")
    overflowing = [name for name in profile.stands_for if profile.saturates and not DEVICES[name].saturates]
    if overflowing:
        raise ConfigError(
            f"{where}: 'grids': some may overflow on '{overflowing[0]}'; those of 'portable' do not: {', '.join(GRIDS['portable'])}"
        )


def _known() -> Mapping[str, DeviceProfile]:
    folder = resources.files("shared.compress.devices") / "profiles"
    return MappingProxyType({name: _parse((folder / f"{name}{SUFFIX}").read_bytes(), f"{name}{SUFFIX}") for name in _ORDER})


DEVICES = _known()
"""The known profiles by name."""
GRIDS = MappingProxyType({device.name: device.grids for device in DEVICES.values()})
"""The candidates to try for each device, the smallest and fastest first."""
