"""``--drop``: which institutions vanish in which training round of a simulation, to see what a federation makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from shared.errors import ConfigError


@dataclass(frozen=True)
class Drop:
    """``who`` (a name, or how many) vanishes in training round ``round``, after it got its message and before it answers."""

    who: str | int
    round: int


def parse_drop(text: str) -> Drop:
    """``2@3``: two institutions vanish in training round 3; ``cleveland@3``: that one does. Raises :class:`ConfigError`."""
    who, at, number = text.partition("@")
    if not at or who.strip("0") == "" or not number.isdigit() or int(number) < 1:
        raise ConfigError(f"--drop {text} cannot be read; write HOW_MANY@ROUND or NAME@ROUND, as in 1@3 or cleveland@3")
    return Drop(int(who) if who.isdigit() else who, int(number))


def check_rounds(drops: Iterable[Drop], rounds: int) -> None:
    """Raises :class:`ConfigError` for a round that a run of ``rounds`` training rounds never comes to."""
    for drop in drops:
        if drop.round > rounds:
            raise ConfigError(f"--drop {drop.who}@{drop.round}: the run has {rounds} training rounds; name one of them, or raise --rounds")


def schedule(drops: Iterable[Drop], institutions: Sequence[str], *, seed: int) -> dict[int, frozenset[str]]:
    """Training round → the institutions that vanish in it; a number draws them by the seed. Raises :class:`ConfigError`."""
    vanishing: dict[int, frozenset[str]] = {}
    for drop in drops:
        if isinstance(drop.who, int):
            if drop.who > len(institutions):
                raise ConfigError(f"--drop {drop.who}@{drop.round}: there are only {len(institutions)} institutions; let fewer vanish")
            rng = np.random.default_rng((seed, drop.round))
            names = frozenset(rng.choice(sorted(institutions), size=drop.who, replace=False).tolist())
        elif drop.who in institutions:
            names = frozenset({drop.who})
        else:
            raise ConfigError(f"--drop {drop.who}@{drop.round}: there is no such institution; there are {', '.join(sorted(institutions))}")
        vanishing[drop.round] = vanishing.get(drop.round, frozenset()) | names
    return vanishing
