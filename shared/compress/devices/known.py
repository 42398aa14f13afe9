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
    return _parse(read_bytes(path, what="device profile"), str(path))


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


def _known() -> Mapping[str, DeviceProfile]:
    folder = resources.files("shared.compress.devices") / "profiles"
    return MappingProxyType({name: _parse((folder / f"{name}{SUFFIX}").read_bytes(), f"{name}{SUFFIX}") for name in _ORDER})


DEVICES = _known()
"""The known profiles by name."""
GRIDS = MappingProxyType({device.name: device.grids for device in DEVICES.values()})
"""The candidates to try for each device, the smallest and fastest first."""
