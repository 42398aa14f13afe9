"""Which entities institutions share, without their names: slots of salted hashes, and the rows of a table behind the student.

    slot(name) = HMAC-SHA256(salt, "fedstill/entity/v1" | folded name) mod slots

The salt is known to the institutions alone, so nobody without it can look names up. A slot into which two of an institution's own
entities fall is not used by it. The coordinator counts who uses each slot (``EntitiesWork``), and those that at least the smallest
cohort uses are *kept*: their rows, in order of slots, are the table ``(kept, width)`` at the end of the run's vector, times

    unit = scale / sqrt(kept * width)

so that a change of 1.0 in each of its numbers is ``scale`` long, however large the table is: a student's update beside it is clipped
as a whole, and must not be for the table's sake.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ProtocolError
from shared.knowledge.dictionary import folded

SLOTS = "slots"
"""The name under which the kept slots are attached to a round's blob."""
NONE = -1
"""The slot of an entity that has none of its own."""
_ENTITY, _RELATIONS, _WORD = b"fedstill/entity/v1\0", b"fedstill/relations/v1\0", 64


def own_slots(names: Sequence[str], salt: bytes, slots: int) -> NDArray[np.int64]:
    """The slot of each name int64 ``(names,)``, :data:`NONE` for those that fall together, names that differ in case alone too."""
    hashes = (hmac.digest(salt, _ENTITY + folded(name).encode(), "sha256") for name in names)
    found = np.array([int.from_bytes(each, "big") % slots for each in hashes], dtype=np.int64)
    alone = np.bincount(found, minlength=slots) == 1
    return np.where(alone[found], found, NONE)


def agreed_seed(salt: bytes, seed: int) -> int:
    """A seed that all institutions of a run have by its ``seed``, and the coordinator, which knows that one too, has not."""
    return int.from_bytes(hmac.digest(salt, _RELATIONS + str(seed).encode(), "sha256")[:8], "big")


def presence(own: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    """1 for each slot that one's entities use, else 0 ``(slots,)``; ``own`` is that of :func:`own_slots`."""
    found = np.zeros(slots, dtype=np.int64)
    found[own[own != NONE]] = 1
    return found


def rows_of(own: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of each entity in the table ``(entities,)``, :data:`NONE` where its slot is not kept; ``kept``: slots, ascending."""
    if not len(kept):
        return np.full(len(own), NONE, dtype=np.int64)
    place = np.minimum(np.searchsorted(kept, own), len(kept) - 1)
    return np.where(kept[place] == own, place, NONE)


def slot_words(kept: Sequence[int], slots: int) -> NDArray[np.uint64]:
    """The kept slots as they travel: a bit a slot, uint64 ``(slots / 64,)``."""
    bits = np.zeros(slots, dtype=np.uint8)
    bits[np.asarray(kept, dtype=np.int64)] = 1
    return np.packbits(bits, bitorder="little").view(np.dtype("<u8"))


def kept_slots(tensors: Mapping[str, NDArray[Any]], slots: int) -> NDArray[np.int64]:
    """The kept slots, ascending, of a blob's tensors. Raises :class:`ProtocolError` where they did not come, or are not of ``slots``."""
    words = tensors.get(SLOTS)
    if words is None or words.dtype != np.uint64 or words.shape != (slots // _WORD,):
        raise ProtocolError(
            f"the plan shares entities of {slots} slots, and they did not come whole; ask the coordinator to send them again"
        )
    return np.flatnonzero(np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")).astype(np.int64)


def unit_of(scale: float, kept: int, width: int) -> float:
    """What a number of the table is multiplied by within the vector."""
    return scale / math.sqrt(max(1, kept * width))
