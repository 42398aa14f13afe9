from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.secagg.errors import ForgedMessage
from shared.secagg.keys import Ratchet, check_usable, first_pair_keys, ordered, pair_seed, public_key, seal_key
from shared.secagg.messages import EpochKey
from tests.support.secagg import Stream

PRIVATE = {name: Stream(name)(32) for name in ("ash", "birch")}
ASH, BIRCH = (EpochKey(name, "trial", 1, bytes(32), public_key(key), b"") for name, key in PRIVATE.items())


def test_both_ends_derive_the_same() -> None:
    one, other = first_pair_keys(PRIVATE["ash"], ASH, [BIRCH])["birch"], first_pair_keys(PRIVATE["birch"], BIRCH, [ASH])["ash"]
    assert one == other
    assert pair_seed(one, b"context", "ash", "birch") == pair_seed(other, b"context", "birch", "ash")


@pytest.mark.parametrize("changed", [{"run": "other"}, {"epoch": 2}, {"roster_digest": bytes(31) + b"\1"}])
def test_a_pair_key_belongs_to_one_epoch_of_one_run(changed: dict[str, object]) -> None:
    other = first_pair_keys(PRIVATE["ash"], replace(ASH, **changed), [BIRCH])  # type: ignore[arg-type]
    assert other != first_pair_keys(PRIVATE["ash"], ASH, [BIRCH])


def test_a_key_of_small_order_is_refused_and_named() -> None:
    with pytest.raises(ForgedMessage, match="'birch' is not a usable"):
        first_pair_keys(PRIVATE["ash"], ASH, [replace(BIRCH, public_key=bytes(32))])


SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
"""The u-coordinates of small order on Curve25519 (D. J. Bernstein, *Curve25519*, "validating public keys")."""


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_every_key_of_small_order_is_found_without_a_private_key(point: str) -> None:
    for content in (bytes.fromhex(point), bytes.fromhex(point)[:31] + bytes([bytes.fromhex(point)[31] | 0x80])):
        with pytest.raises(ForgedMessage, match="'birch' is not a usable"):
            check_usable(replace(BIRCH, public_key=content))
    check_usable(BIRCH)


def test_purposes_directions_and_contexts_have_their_own_keys() -> None:
    key = Stream("key")(32)
    derived = {
        pair_seed(key, b"one", "ash", "birch"),
        pair_seed(key, b"two", "ash", "birch"),
        seal_key(key, b"one", "ash", "birch"),
        seal_key(key, b"one", "birch", "ash"),
        seal_key(key, b"two", "birch", "ash"),
        Ratchet(0, {"birch": key}).at(1).keys["birch"],
        key,
    }
    assert len(derived) == 7


def test_missed_rounds_are_stepped_over_together() -> None:
    start = Ratchet(0, {"ash": bytes(32), "birch": b"\1" * 32})
    step = start
    for number in range(1, 6):
        step = step.at(number)
    assert step == start.at(5)
    assert start.at(0) == start


def test_there_is_no_way_back() -> None:
    with pytest.raises(ValueError, match="cannot be turned back"):
        Ratchet(3, {}).at(2)


def test_pairs_are_ordered_by_name() -> None:
    assert ordered("b", "a") == ordered("a", "b") == ("a", "b")
    assert X25519PrivateKey.from_private_bytes(PRIVATE["ash"]).public_key().public_bytes_raw() == ASH.public_key
