"""Which institutions a simulation has: those of the data, or as many as the user asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from shared.config import FederationConfig
from shared.data import Records, Split
from shared.errors import ConfigError

FEWEST_RECORDS = 12
"""A site smaller than this is not halved: each half must learn and hold out."""


def resize(sites: Mapping[str, Split], count: int, *, seed: int) -> dict[str, Split]:
    """As many sites as ``count``: too many, and the smallest are left out; too few, and the largest is dealt in halves.

    Halves are a seeded shuffle of the site's records, training and held-out apart, named ``site-1`` and ``site-2``.
    Raises :class:`ConfigError` where the records do not suffice.
    """
    check_count(count, 2)
    chosen = dict(sorted(sites.items(), key=lambda item: (-len(item[1].train), item[0]))[:count])
    rng = np.random.default_rng(seed)
    while len(chosen) < count:
        name = max(chosen, key=lambda site: (len(chosen[site].train), site))
        if len(chosen[name].train) < FEWEST_RECORDS or len(chosen[name].test) < 2:
            raise ConfigError(f"{count} institutions are too many for these records; the largest site has {len(chosen[name].train)}")
        split = chosen.pop(name)
        (train_a, train_b), (test_a, test_b) = _halves(split.train, rng), _halves(split.test, rng)
        chosen[f"{name}-1"], chosen[f"{name}-2"] = Split(train_a, test_a), Split(train_b, test_b)
    return dict(sorted(chosen.items()))


def check_count(count: int, fewest: int) -> None:
    """Raises :class:`ConfigError` for fewer institutions than ``fewest``, the smallest cohort: no round of theirs could be added up."""
    if count < fewest:
        raise ConfigError(
            f"a federation of {count} is too small: a sum must hide one institution among at least {fewest} (aggregation.smallest_cohort); "
            "give more by --institutions, or by the data"
        )


def check_students(config: FederationConfig, names: Iterable[str]) -> None:
    """Raises :class:`ConfigError` where ``config.students`` has one for an institution that is none of ``names``."""
    known = sorted(names)
    unknown = sorted(set(config.students) - set(known))
    if unknown:
        raise ConfigError(f"[students] has '{unknown[0]}', which is none of the institutions: {', '.join(known)}")


def _halves(records: Records, rng: np.random.Generator) -> tuple[Records, Records]:
    # Sorting the shuffle by label before dealing alternately keeps every label in both halves where it can.
    order = rng.permutation(len(records))
    order = order[np.argsort(records.labels[order], kind="stable")]
    return records.take(np.sort(order[0::2])), records.take(np.sort(order[1::2]))
