"""The published vectors: this implementation gives them, and so do plain computations that share no code with it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support.vectors import ALL, FOLDER, text


def published(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("name", ALL)
def test_this_implementation_gives_them(name: str) -> None:
    assert text(name) == (FOLDER / f"{name}.json").read_text()


def length_prefixed(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(8, "big") + field for field in (b"fedstill/secagg/v1", *fields))


def expand(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869) for one block of SHA-256."""
    return hmac.digest(key, info + b"\1", "sha256")


def test_masks_are_aes_keystreams_read_as_little_endian_words() -> None:
    vectors = published("masks")
    for width, words in vectors["by_width"].items():
        size = int(width) // 8
        stream = Cipher(algorithms.AES(bytes.fromhex(vectors["seed"])), modes.CTR(bytes(16))).encryptor().update(bytes(16 + 9 * size))
        assert words["counters"] == [int.from_bytes(stream[start : start + 8], "little") for start in (0, 8)]
        assert words["update"] == [int.from_bytes(stream[16 + size * place :][:size], "little") for place in range(9)]


def test_keys_follow_from_hkdf_alone() -> None:
    vectors = published("keys")
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(vectors["private"]["birch"]))
    public = {name: bytes.fromhex(key) for name, key in vectors["public"].items()}
    secret, context = private.exchange(X25519PublicKey.from_public_bytes(public["ash"])), bytes.fromhex(vectors["context"])
    epoch = (b"trial", (7).to_bytes(8, "big"), bytes.fromhex(vectors["roster_digest"]))
    key = expand(
        hmac.digest(bytes(32), secret, "sha256"), length_prefixed(b"pair-key", *epoch, b"ash", public["ash"], b"birch", public["birch"])
    )
    assert key.hex() == vectors["pair_key_0"]
    for _ in range(3):
        key = expand(key, length_prefixed(b"next"))
    assert key.hex() == vectors["pair_key_3"]
    assert expand(key, length_prefixed(b"mask", context, b"ash", b"birch")).hex() == vectors["mask_seed_3"]
    assert expand(key, length_prefixed(b"seal-key", context, b"ash", b"birch")).hex() == vectors["seal_key_3_ash_to_birch"]
    pair = hashlib.sha256(length_prefixed(b"commit-pair", context, b"ash", b"birch", bytes(32)))
    assert pair.hexdigest() == vectors["commit_pair"]


def times(one: int, other: int) -> int:
    product = 0
    for bit in range(8):
        if other >> bit & 1:
            product ^= one
        one = (one << 1) ^ (0x11B if one & 0x80 else 0)
    return product


def test_shares_are_values_of_the_polynomial() -> None:
    vectors = published("shares")
    secret, coefficients = bytes.fromhex(vectors["secret"]), bytes.fromhex(vectors["coefficients"])
    for place, share in enumerate(map(bytes.fromhex, vectors["shares"]), start=1):
        square = times(place, place)
        expected = [a ^ times(b, place) ^ times(c, square) for a, b, c in zip(secret, coefficients[:32], coefficients[32:], strict=True)]
        assert list(share) == expected


def test_the_sum_of_the_round_is_the_plain_one_and_its_signatures_hold() -> None:
    vectors = published("round")
    columns = zip(*vectors["plain"].values(), strict=True)
    assert [sum((word ^ 0x8000) - 0x8000 for word in column) for column in columns] == vectors["update"]
    names = b"".join(len(name).to_bytes(8, "big") + name.encode() for name in vectors["plan"]["cohort"])
    content = length_prefixed(b"survivors", bytes.fromhex(vectors["context"]), names)
    for name, answer in vectors["masked"].items():
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(vectors["members"][name])).verify(bytes.fromhex(answer["agreement"]), content)


def test_encoded_words_are_neighbours_of_the_exact_values() -> None:
    vectors = published("encoding")
    norm = sum(value**2 for value in vectors["update"]) ** 0.5
    level = (2**15 - 1) // vectors["members"]
    factor = min(1.0, vectors["clip_norm"] / norm) * vectors["weight"] / vectors["weight_cap"] * level / vectors["clip_norm"]
    for value, word in zip(vectors["update"], vectors["words"], strict=True):
        assert abs((word ^ 0x8000) - 0x8000 - value * factor) < 1
