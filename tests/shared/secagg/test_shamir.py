from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.field import Bytes
from shared.secagg.shamir import deal, predict, reconstruct
from tests.support.secagg import Stream


@st.composite
def sharings(draw: st.DrawFn) -> tuple[int, list[int], Bytes]:
    """A threshold, that many of the holders, and secrets."""
    holders = draw(st.integers(1, 64))
    threshold = draw(st.integers(1, holders))
    chosen = draw(st.permutations(range(holders)))[:threshold]
    secrets = np.frombuffer(draw(st.binary(min_size=64, max_size=64)), np.uint8).reshape(2, 32)
    return holders, list(chosen), secrets


@given(sharings())
def test_any_threshold_of_shares_gives_the_secrets_and_all_other_shares(sharing: tuple[int, list[int], Bytes]) -> None:
    holders, chosen, secrets = sharing
    shares = deal(secrets, len(chosen), holders, Stream("deal"))
    assert shares.shape == (holders, 2, 32)
    assert (reconstruct(chosen, shares[chosen]) == secrets).all()
    assert (predict(chosen, shares[chosen], range(holders)) == shares).all()


def every_polynomial(secret: int, degree: int) -> Bytes:
    """Shares of one secret byte among 4 holders under every choice of the coefficients: ``(4, 256^degree)``."""
    coefficients = np.array(list(itertools.product(range(256), repeat=degree)), np.uint8).T
    secrets = np.full((coefficients.shape[1], 1), secret, np.uint8)
    return deal(secrets, degree + 1, 4, lambda size: coefficients.tobytes()[:size])[:, :, 0]


@pytest.mark.parametrize("holders", [*itertools.combinations(range(4), 2)])
def test_fewer_shares_than_the_threshold_tell_nothing(holders: tuple[int, int]) -> None:
    # Over all polynomials of degree 2, each pair of values of two holders occurs exactly once, whatever the secret.
    for secret in (0, 1, 0x53, 255):
        seen = every_polynomial(secret, 2)[list(holders)].astype(np.uint32)
        assert len(np.unique(seen[0] << 8 | seen[1])) == 256 * 256


def test_the_threshold_does_tell() -> None:
    # The test above can fail: two holders of degree-1 polynomials see 256 of the 65536 pairs.
    seen = every_polynomial(7, 1)[:2].astype(np.uint32)
    assert len(np.unique(seen[0] << 8 | seen[1])) == 256


@pytest.mark.parametrize(("threshold", "holders"), [(0, 3), (4, 3), (2, 256)])
def test_impossible_sharings_are_refused(threshold: int, holders: int) -> None:
    with pytest.raises(ValueError, match="cannot share"):
        deal(np.zeros((1, 32), np.uint8), threshold, holders, Stream("deal"))
