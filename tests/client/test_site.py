"""An institution's folder: its own identity must be the one that its pinned roster knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.site import InstitutionSite, round_generator
from shared.errors import IdentityError
from shared.identity import make_identity
from tests.support.small import NAMES, make_federation


def test_another_identity_than_the_roster_s_is_refused(tmp_path: Path) -> None:
    home = make_federation(tmp_path / "run", 3, rounds=1).institutions[NAMES[0]]
    assert InstitutionSite(home).identity is not None
    (home / "keys" / "identity.key").unlink()
    make_identity(home / "keys" / "identity.key")
    with pytest.raises(IdentityError, match=NAMES[0]):
        _ = InstitutionSite(home).identity


def test_a_round_asked_again_draws_the_same_and_every_other_purpose_draws_otherwise() -> None:
    drawn = round_generator(7, "ash", 3, "rounding").integers(2**62)
    assert round_generator(7, "ash", 3, "rounding").integers(2**62) == drawn
    others = [(8, "ash", 3, "rounding"), (7, "elm", 3, "rounding"), (7, "ash", 4, "rounding"), (7, "ash", 3, "batches")]
    assert drawn not in [round_generator(*other).integers(2**62) for other in others]
