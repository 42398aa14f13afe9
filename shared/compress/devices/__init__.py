"""Devices as data: what a kind of device computes exactly, what it costs there, and where every number comes from.

``profiles/*.toml`` are the known ones, ``schema`` says what a profile holds (``docs/devices.md`` explains it), ``grids`` which 8-bit
numbers may be signed for it, ``known`` finds one by name or reads a user's own file.
"""

from shared.compress.devices.grids import PAYING, RECIPES, WEIGHTS_ONLY, Recipe, WeightGrid, has_vnni, recipe, saturates_here
from shared.compress.devices.known import DEVICES, GRIDS, check_profile_name, find_profile, read_profile
from shared.compress.devices.schema import Cache, DeviceProfile, OperatorTable, Quantity, Source

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
