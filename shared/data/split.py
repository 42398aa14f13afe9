"""How records become sites and held-out records: a seeded Dirichlet deal and a seeded stratified hold-out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.data.naming import dealt_names
from shared.data.records import UNLABELLED, Records, Split
from shared.data.seeds import generator
from shared.errors import EmptyInstitutionError

FEWEST_RECORDS = 2
"""An institution needs one record to learn from and one to hold out."""
USABLE_RECORDS = 10
"""What a deal leaves every site with, if half an even share is as many."""


def hold_out(records: Records, test_fraction: float, *, seed: int, site: str) -> Split:
    """Holds ``test_fraction`` of the labelled records out, of each label alike; both parts keep the records' order.

    The same seed and site hold the same records out, whatever else the federation holds. A label with one record
    is learnt, not held out, where that can be; a record without a label always is. Raises :class:`EmptyInstitutionError`
    under 2 records, or without any label.
    """
    if len(records) < FEWEST_RECORDS:
        raise EmptyInstitutionError(
            f"institution '{site}' has {len(records)} usable record{'s' * (len(records) != 1)}; it needs at least {FEWEST_RECORDS}, "
            f"one to learn from and one to hold out: add records or leave it out"
        )
    labelled = np.flatnonzero(records.labels != UNLABELLED)
    if not len(labelled):
        raise EmptyInstitutionError(f"institution '{site}' has no record with a label; label some, at least one of them is held out")
    rng = generator(seed, "hold-out", site)
    held = np.zeros(len(records), dtype=np.bool_)
    for label, count in _held_counts(records.labels[labelled], test_fraction).items():
        members = np.flatnonzero(records.labels == label)
        held[rng.permutation(members)[:count]] = True
    if not held.any():
        held[labelled[rng.integers(len(labelled))]] = True
    return Split(records.take(np.flatnonzero(~held)), records.take(np.flatnonzero(held)))


def _held_counts(labels: NDArray[np.int64], fraction: float) -> dict[int, int]:
    # Largest remainders: the whole is as near the fraction as it can be, and each label is within one record of its own.
    names, counts = np.unique(labels, return_counts=True)
    shares = counts * fraction
    held = np.minimum(np.floor(shares).astype(np.int64), counts - 1)
    for position in np.argsort(held - shares, kind="stable"):
        if held.sum() < round(len(labels) * fraction) and held[position] < counts[position] - 1:
            held[position] += 1
    return {int(name): int(count) for name, count in zip(names, held, strict=True)}


def dirichlet_deal(labels: NDArray[np.int64], sites: int, alpha: float, *, seed: int) -> list[NDArray[np.int64]]:
    """Deals records to ``sites`` by label: the sites' shares of each label are one draw from Dirichlet(``alpha``).

    Every record goes to exactly one site (Hsu et al. 2019 draw with replacement; here nothing is lost or doubled).
    A small ``alpha`` makes sites differ, a large one makes them alike. Then sites with fewer than
    min(:data:`USABLE_RECORDS`, half an even share), but at least 2, get records of the largest site.
    Gives back each site's sorted indices. Raises :class:`EmptyInstitutionError` if the records are too few.
    """
    if len(labels) < FEWEST_RECORDS * sites:
        raise EmptyInstitutionError(
            f"{len(labels)} records are too few for {sites} sites with at least {FEWEST_RECORDS} each; lower split.sites"
        )
    rng = generator(seed, "deal")
    owner = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.floor(np.cumsum(_shares(rng, sites, alpha))[:-1] * len(members)).astype(np.int64)
        for site, part in enumerate(np.split(members, cuts)):
            owner[part] = site
    _fill_up(owner, sites, max(FEWEST_RECORDS, min(USABLE_RECORDS, len(labels) // (2 * sites))), rng)
    return [np.flatnonzero(owner == site).astype(np.int64) for site in range(sites)]


def _shares(rng: np.random.Generator, sites: int, alpha: float) -> NDArray[np.float64]:
    # A minute alpha can underflow to no share at all (NaN); its limit is that one site has everything.
    with np.errstate(all="ignore"):
        shares = np.asarray(rng.dirichlet(np.full(sites, alpha)), dtype=np.float64)
    return shares if np.isfinite(shares).all() and shares.sum() > 0 else np.eye(sites, dtype=np.float64)[rng.integers(sites)]


def _fill_up(owner: NDArray[np.int64], sites: int, least: int, rng: np.random.Generator) -> None:
    # ``least`` is at most half an even share, so the largest site always has one to spare.
    sizes = np.bincount(owner, minlength=sites)
    while sizes.min() < least:
        poor, rich = int(sizes.argmin()), int(sizes.argmax())
        owner[rng.choice(np.flatnonzero(owner == rich))] = poor
        sizes[poor] += 1
        sizes[rich] -= 1


def deal(records: Records, sites: int, alpha: float, *, seed: int) -> dict[str, Records]:
    """The records dealt by :func:`dirichlet_deal`, under the names ``site-1``, ``site-2``, ..."""
    parts = dirichlet_deal(records.labels, sites, alpha, seed=seed)
    return {name: records.take(part) for name, part in zip(dealt_names(sites), parts, strict=True)}
