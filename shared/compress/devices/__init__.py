"""Devices as data: what a kind of device computes exactly, what it costs there, and where every number comes from.

``profiles/*.toml`` are the known ones, ``schema`` says what a profile holds (docs/devices.md explains it), and ``known`` finds one
by name or reads a user's own file. Which 8-bit numbers may be signed for a device is a matter of ``shared/compress/grids.py``.
"""

from shared.compress.devices.known import DEVICES, GRIDS, check_profile_name, find_profile, read_profile
from shared.compress.devices.schema import Cache, DeviceProfile, OperatorTable, Quantity, Source
from shared.compress.grids import PAYING, RECIPES, WEIGHTS_ONLY, Recipe, WeightGrid, has_vnni, recipe, saturates_here

__all__ = [
    "DEVICES",
    "GRIDS",
    "PAYING",
    "RECIPES",
    "WEIGHTS_ONLY",
    "Cache",
    "DeviceProfile",
    "OperatorTable",
    "Quantity",
    "Recipe",
    "Source",
    "WeightGrid",
    "check_profile_name",
    "find_profile",
    "has_vnni",
    "read_profile",
    "recipe",
    "saturates_here",
]
