"""The pruning of a federation: one plan from the sums of all, with the settings of federation.toml."""

from __future__ import annotations

from shared.compress.devices import find_profile
from shared.compress.prune.anatomy import Anatomy, anatomy
from shared.compress.prune.apply import prune
from shared.compress.prune.importance import Counts, importances
from shared.compress.prune.plan import PruneSettings, decide
from shared.config import CompressionSettings
from shared.models.network import Network


def pruned_by(student: Network, sums: Counts, compression: CompressionSettings) -> Network:
    """The student of the parts that the sums say are worth most. Equal sums give the bit-identical student."""
    whole = anatomy(student)
    multiple = multiple_for(whole, int(find_profile(compression.device).channel_block.value))
    settings = PruneSettings(fraction=compression.prune, keep_layers=compression.keep_layers, multiple=multiple)
    return prune(student, decide(whole, importances(whole, sums), settings))


def multiple_for(student: Anatomy, block: int) -> int:
    """A device's ``block``, or the largest half, quarter … of it of which the student's widest part has four.

    A net of two blocks' width could else lose half of itself or nothing.
    """
    widest = max((part.inner for part in student.blocks), default=0)
    while block > 1 and widest < 4 * block:
        block //= 2
    return max(block, 1)
