"""Fragments: an institution may train a part of the student. What it does not train it sends as zeros, masked like the rest.

The plan says who trains what. Coordinates that the same institutions train are one *cell*; a cell has its own sum of
weights, which rides in the control words, so that each coordinate's mean is over those who trained it. A cell that fewer
than the plan's smallest cohort train would be a sum of too few: nobody sends anything for it, it is *silent*. And no
institution opens a surviving set in which a cell that is not silent has lost so many that fewer are left.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.secagg.messages import Fragment, Plan

MOST_CELLS = 256
"""Most cells of a plan."""
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Cell:
    """Coordinates in ``ranges`` that exactly ``members`` of the cohort train."""

    ranges: Fragment
    members: tuple[str, ...]
    silent: bool

    @property
    def size(self) -> int:
        """How many coordinates it has."""
        return sum(stop - start for start, stop in self.ranges)

    def trained_by(self, institution: str) -> bool:
        """Whether ``institution`` sends something for it."""
        return not self.silent and institution in self.members

    def take(self, vector: NDArray[Number]) -> NDArray[Number]:
        """The cell's coordinates of ``vector (d,)``: a view where they lie together, else a copy."""
        pieces = [vector[start:stop] for start, stop in self.ranges]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def put(self, vector: NDArray[Number], values: NDArray[Number]) -> None:
        """Writes ``values (size,)`` to the cell's coordinates of ``vector (d,)``."""
        place = 0
        for start, stop in self.ranges:
            vector[start:stop] = values[place : place + stop - start]
            place += stop - start


def cells(plan: Plan) -> tuple[Cell, ...]:
    """The cells of a plan, in the order of their first coordinates; one, never silent, where there are no fragments."""
    size = plan.layout.update_words
    if not plan.fragments:
        return (Cell(((0, size),), plan.cohort, silent=False),)
    everything: Fragment = ((0, size),)
    trained = {name: plan.fragments.get(name, everything) for name in plan.cohort}
    edges = sorted({0, size, *(edge for ranges in trained.values() for pair in ranges for edge in pair)})
    found: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for start, stop in itertools.pairwise(edges):
        members = tuple(name for name in plan.cohort if any(low <= start and stop <= high for low, high in trained[name]))
        found.setdefault(members, []).append((start, stop))
    return tuple(Cell(joined(ranges), members, len(members) < plan.smallest_cohort) for members, ranges in found.items())


def complaints(plan: Plan) -> list[str]:
    """What is wrong with a plan's fragments, in plain words."""
    size, found = plan.layout.update_words, []
    for name, ranges in plan.fragments.items():
        edges = [edge for pair in ranges for edge in pair]
        if name not in plan.cohort:
            found.append(f"'{name}' has a fragment and is not in the cohort")
        elif edges != sorted(set(edges)) or not edges or edges[0] < 0 or edges[-1] > size:
            found.append(f"the fragment of '{name}' is not a list of ranges in order within {size} coordinates")
    if not found and len(cells(plan)) > MOST_CELLS:
        found.append(f"its fragments make more than {MOST_CELLS} cells")
    return found


def thin(plan: Plan, survivors: Collection[str]) -> list[Cell]:
    """The cells that were sent and that too few of ``survivors`` trained."""
    here = set(survivors)
    return [cell for cell in cells(plan) if not cell.silent and len(here & set(cell.members)) < plan.smallest_cohort]


def joined(ranges: Sequence[tuple[int, int]]) -> Fragment:
    """Ranges in order, those that touch made one."""
    found = [ranges[0]]
    for start, stop in ranges[1:]:
        if start == found[-1][1]:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return tuple(found)
