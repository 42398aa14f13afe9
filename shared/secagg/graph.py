"""Who shares masks and shares with whom: everyone with everyone, or a sparse graph that nobody can choose.

Up to :data:`LARGEST_COMPLETE` institutions the graph is complete. Above, all members of the epoch stand on a circle in an
order drawn from the hash of all signed epoch keys, and each is a neighbour of the ``degree / 2`` nearest on either side
(a Harary graph under a random order; Bell et al., CCS 2020, section 3). Members who are not in a round's cohort keep their
places and count as lost, so that leaving somebody out moves nobody else.

What must hold, and how it is known
-----------------------------------
*A neighbourhood does not open by itself.* Of ``m = degree + 1`` holders at most ``local_collusion`` work with the
coordinator. That is ``c`` itself where ``c`` is small. Where it is large, places are random: the bound is the tail of the
hypergeometric distribution over all neighbourhoods at probability :data:`ODDS`, small enough that a coordinator with 2^40
tries at its own members' keys still fails with odds of 2^-40. ``2 t > m + local_collusion`` shares give a seed.

*The honest hang together.* In a sum over a surviving set the masks between honest neighbours cancel only within a
connected part of the graph; two parts would be two sums. After the draw a coordinator may say of anyone that it was lost,
for instance of all neighbours of one victim. So every institution checks the set that it signs: on the circle, two parts
fall apart only by two gaps of ``degree / 2`` places each; :meth:`Graph.narrowest_cut` is the least number of survivors that
must be taken away for that, and it must be above the number of colluding ones in any two such windows. The check knows
nothing of who colludes and trusts nobody.

*One view.* On the complete graph the holders of all seeds are the same and the threshold excludes two views. Here they
differ from dealer to dealer, and half a neighbourhood could answer for the whole cohort while the neighbours' own
neighbourhoods answer for a smaller set (``tests/shared/secagg/attacks/test_sparse_views.py`` opens a victim that way). So
on a sparse graph nothing is signed in advance: an institution signs one set a round, whole or not, and ``threshold`` of
the whole cohort must have signed it. ``2 threshold > n + c``: there is one view ``U``.

In it honest holders give shares of the self-mask seeds of ``U`` and of the pair seeds between ``U`` and the lost. Of every
other seed, the self-mask seeds of the lost and the pair seeds within ``U``, there are only the shares of colluding holders in
one neighbourhood, at most ``local_collusion < t``, which tell nothing. So the masks between honest neighbours in ``U`` remain, and
as these hang together, they cancel only in the sum over all honest members of ``U``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.secagg.messages import EpochKey
from shared.secagg.signing import keys_digest, pack

LARGEST_COMPLETE = 64
"""Largest epoch whose members are all neighbours of each other."""
LARGEST_DEGREE = 254
"""Most neighbours: a neighbourhood has no more holders than GF(2^8) has places."""
ODDS = Fraction(1, 2**80)
"""Bound on the probability that colluding institutions gather in one neighbourhood by the draw."""
PLANNED_LOSS = Fraction(1, 5)
"""The part of a cohort that may be lost at random without voiding the round, but for odds of :data:`VOID_ODDS`."""
VOID_ODDS = Fraction(1, 2**10)
"""Accepted probability that a round is void although no more than :data:`PLANNED_LOSS` were lost."""


class Graph:
    """The graph over the members of one epoch."""

    def __init__(self, keys: Iterable[EpochKey], degree: int) -> None:
        """``degree`` 0: complete. The order of the circle is that of ``SHA-256(keys digest ‖ name)``."""
        pinned = tuple(keys)
        seed = keys_digest(pinned)
        members = [key.institution for key in pinned]
        self.degree = 0 if degree >= len(members) - 1 else degree
        self._circle = sorted(members, key=lambda name: hashlib.sha256(pack("circle", seed, name)).digest())

    @property
    def size(self) -> int:
        """How many members stand on it."""
        return len(self._circle)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self._circle)}

    def neighbourhood(self, name: str) -> tuple[str, ...]:
        """``name`` and its neighbours, in order of names: the holders of what it deals."""
        if not self.degree:
            return tuple(sorted(self._circle))
        place, half, size = self._places[name], self.degree // 2, len(self._circle)
        return tuple(sorted(self._circle[(place + step) % size] for step in range(-half, half + 1)))

    def holders(self, name: str, cohort: Collection[str]) -> tuple[str, ...]:
        """Those of the neighbourhood of ``name`` that are in ``cohort``, in order of names."""
        present = cohort if isinstance(cohort, frozenset | set) else frozenset(cohort)
        return tuple(holder for holder in self.neighbourhood(name) if holder in present)

    def narrowest_cut(self, present: Collection[str]) -> float:
        """The fewest of ``present`` whose absence parts the others in two; infinite where nothing does.

        Parts are separated by gaps of ``degree / 2`` absent places. For the first gap at each place, the best second one is
        a minimum over a range of places, which a table of minima over powers of two answers at once.
        """
        if not self.degree:
            return math.inf
        here = frozenset(present)
        there = np.array([name in here for name in self._circle] * 3, np.int64)
        size, half = len(self._circle), self.degree // 2
        counted = np.concatenate([[0], np.cumsum(there)])
        costs = counted[half : 2 * size + half] - counted[: 2 * size]
        places = np.flatnonzero(there)
        first = np.arange(size)
        # The second gap begins after somebody who stays behind the first gap, and somebody stays behind the second.
        begins = places[np.minimum(np.searchsorted(places, first + half), places.size - 1)] + 1
        ends = places[np.searchsorted(places, first + size) - 1] - half
        possible = (begins <= ends) & (begins < first + size)
        if not possible.any():
            return math.inf
        seconds = _range_minima(costs, begins[possible], ends[possible])
        return float((costs[first[possible]] + seconds).min())


def degree_for(members: int, collusion: int) -> int:
    """The degree for an epoch: 0 up to :data:`LARGEST_COMPLETE`, then the least even one that bears :data:`PLANNED_LOSS`.

    It grows with the logarithm of ``members``. Where no degree does, the largest possible.
    """
    if members <= LARGEST_COMPLETE:
        return 0
    lost = math.ceil(members * PLANNED_LOSS)
    for degree in range(2, min(LARGEST_DEGREE, members - 2) + 1, 2):
        size, half = degree + 1, degree // 2
        spared = size - _most(members, lost, size, VOID_ODDS) >= share_threshold_for(members, degree, collusion)
        together = 2 * (half - _most(members, lost, half, VOID_ODDS)) > cut_bound(members, degree, collusion)
        if spared and together:
            return degree
    return min(LARGEST_DEGREE, (members - 2) // 2 * 2)


def local_collusion(members: int, degree: int, collusion: int) -> int:
    """The most of ``collusion`` institutions in any one closed neighbourhood, but for odds of :data:`ODDS`."""
    return _most(members, collusion, degree + 1, ODDS)


def cut_bound(members: int, degree: int, collusion: int) -> int:
    """The most of ``collusion`` institutions in any two windows of ``degree / 2`` places, but for odds of :data:`ODDS`."""
    return min(collusion, 2 * _most(members, collusion, degree // 2, ODDS))


def share_threshold_for(members: int, degree: int, collusion: int) -> int:
    """The least ``t`` with ``2 t > m + local_collusion`` for a neighbourhood of ``m = degree + 1``."""
    return (degree + 1 + local_collusion(members, degree, collusion)) // 2 + 1


@lru_cache(maxsize=1024)
def _most(members: int, marked: int, drawn: int, odds: Fraction) -> int:
    """The least ``q`` such that in none of ``members`` windows of ``drawn`` places there are more than ``q`` of ``marked``.

    But for ``odds``: ``members`` times the tail of the hypergeometric distribution, in exact arithmetic.
    """
    marked = min(marked, members)
    highest = min(marked, drawn)
    allowed = odds * math.comb(members, drawn) / members
    tail = Fraction(0)
    for count in range(highest, -1, -1):
        tail += math.comb(marked, count) * math.comb(members - marked, drawn - count)
        if tail > allowed:
            return count
    return 0


def _range_minima(values: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    # Minimum of values[begin..end] (inclusive) for each pair: two overlapping ranges of a power of two.
    table = [values]
    while 2 ** len(table) <= values.size:
        last, reach = table[-1], 2 ** (len(table) - 1)
        table.append(np.minimum(last[:-reach], last[reach:]))
    powers = np.floor(np.log2(ends - begins + 1)).astype(int)
    found = [min(table[power][begin], table[power][end - 2**power + 1]) for power, begin, end in zip(powers, begins, ends, strict=True)]
    return np.array(found, np.int64)
