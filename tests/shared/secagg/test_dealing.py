from __future__ import annotations

import numpy as np
import pytest

from shared.secagg.dealing import SELF, Secrets, open_bundle, secret_names
from shared.secagg.errors import WrongShare
from shared.secagg.seals import commit_pair, commit_self
from shared.secagg.shamir import reconstruct
from tests.support.secagg import NAMES, Stream

SECRETS = Secrets("birch", Stream("self")(32), {name: Stream(name)(32) for name in NAMES if name != "birch"})


def test_every_secret_has_its_place_in_every_bundle() -> None:
    bundles = SECRETS.bundles(NAMES, 3, Stream("deal"))
    assert tuple(bundles) == NAMES
    opened = [open_bundle(bundle, "birch", NAMES) for bundle in bundles.values()]
    for name, seed in {SELF: SECRETS.self_seed, **SECRETS.pair_seeds}.items():
        shares = np.frombuffer(b"".join(bundle[name] for bundle in opened[1:4]), np.uint8).reshape(3, 1, 32)
        assert reconstruct([1, 2, 3], shares).tobytes() == seed


def test_the_order_of_a_bundle_is_the_cohorts() -> None:
    assert secret_names("birch", NAMES) == (SELF, "ash", "cedar", "dogwood", "elm")


@pytest.mark.parametrize("size", [0, 159, 161, 32])
def test_a_bundle_of_another_length_names_its_dealer(size: int) -> None:
    with pytest.raises(WrongShare, match="'birch' dealt a bundle of"):
        open_bundle(bytes(size), "birch", NAMES)


def test_commitments_are_to_each_seed() -> None:
    commitments = SECRETS.commitments(b"context")
    assert set(commitments) == {SELF, *SECRETS.pair_seeds}
    assert commitments[SELF] == commit_self(b"context", "birch", SECRETS.self_seed)
    assert commitments["elm"] == commit_pair(b"context", "elm", "birch", SECRETS.pair_seeds["elm"])
