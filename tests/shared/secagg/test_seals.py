from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.errors import WrongShare
from shared.secagg.seals import OVERHEAD_BYTES, commit_pair, commit_self, seal, unseal
from tests.support.secagg import Stream, flipped

KEY = Stream("seal")(32)


@given(st.binary(max_size=200))
def test_a_seal_opens_for_its_receiver(content: bytes) -> None:
    sealed = seal(KEY, content, b"context", "ash", "birch", Stream("nonce"))
    assert len(sealed) == len(content) + OVERHEAD_BYTES
    assert unseal(KEY, sealed, b"context", "ash", "birch") == content


@given(st.integers(0, (10 + OVERHEAD_BYTES) * 8 - 1))
def test_a_changed_bit_is_found(bit: int) -> None:
    sealed = seal(KEY, b"ten bytes!", b"context", "ash", "birch", Stream("nonce"))
    with pytest.raises(WrongShare, match="'ash' is said to have sealed to 'birch'"):
        unseal(KEY, flipped(sealed, bit), b"context", "ash", "birch")


@pytest.mark.parametrize("said", [(b"other", "ash", "birch"), (b"context", "cedar", "birch"), (b"context", "ash", "cedar")])
def test_another_round_sender_or_receiver_does_not_open_it(said: tuple[bytes, str, str]) -> None:
    sealed = seal(KEY, b"share", b"context", "ash", "birch", Stream("nonce"))
    with pytest.raises(WrongShare):
        unseal(KEY, sealed, *said)


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(27)])
def test_what_is_no_seal_is_refused_as_one_that_does_not_open(sealed: bytes) -> None:
    with pytest.raises(WrongShare):
        unseal(KEY, sealed, b"context", "ash", "birch")


def test_the_same_content_is_never_sealed_to_the_same_bytes() -> None:
    random = Stream("nonce")
    assert seal(KEY, b"x", b"c", "ash", "birch", random) != seal(KEY, b"x", b"c", "ash", "birch", random)


def test_commitments_bind_context_owner_and_seed() -> None:
    seed, other = Stream("a")(32), Stream("b")(32)
    made = [commit_self(b"c", "ash", seed), commit_self(b"d", "ash", seed), commit_self(b"c", "elm", seed), commit_self(b"c", "ash", other)]
    made += [commit_pair(b"c", "ash", "elm", seed), commit_pair(b"c", "ash", "birch", seed)]
    assert len(set(made)) == len(made)
    assert commit_pair(b"c", "ash", "elm", seed) == commit_pair(b"c", "elm", "ash", seed)
