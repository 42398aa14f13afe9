"""A token says all that is needed, keeps its secret out of sight, and proves it for one set of keys only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.enrolment import Connection
from shared.errors import IdentityError
from shared.invitation import PREFIX, make_token, prove, proves, read_token

WHERE = Connection(address="fl.example.org:8443")
CA = bytes(range(32))


def test_a_token_is_one_line_that_reads_back() -> None:
    token = make_token(WHERE, CA)
    text = token.text()
    assert text.startswith(PREFIX)
    assert text.isascii()
    assert not set(text) & set(" \n'\"$&;|")
    assert read_token(f"  {text}\n") == token


def test_no_two_tokens_are_alike() -> None:
    assert make_token(WHERE, CA).text() != make_token(WHERE, CA).text()


def test_the_secret_is_not_shown() -> None:
    token = make_token(WHERE, CA)
    assert token.seed.hex() not in repr(token)
    assert repr(token.seed) not in repr(token)


@given(st.integers(min_value=0), st.sampled_from("abcXYZ019-_"))
def test_one_wrong_letter_is_noticed_and_not_repeated(place: int, letter: str) -> None:
    text = make_token(WHERE, CA).text()
    at = len(PREFIX) + place % (len(text) - len(PREFIX) - 1)
    wrong = text[:at] + letter + text[at + 1 :]
    if wrong == text:
        return
    with pytest.raises(IdentityError, match="copy it again") as caught:
        read_token(wrong)
    assert wrong[len(PREFIX) : len(PREFIX) + 12] not in str(caught.value)


@given(st.one_of(st.text(max_size=200), st.text(max_size=200).map(PREFIX.__add__)))
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(IdentityError, match="copy it again"):
        read_token(text)


@pytest.mark.parametrize("cut", [1, 4, 40])
def test_a_cut_token_is_noticed(cut: int) -> None:
    with pytest.raises(IdentityError, match="copy it again"):
        read_token(make_token(WHERE, CA).text()[:-cut])


def test_the_proof_holds_for_what_was_signed_and_nothing_else() -> None:
    token, other = make_token(WHERE, CA), make_token(WHERE, CA)
    proof = prove(token, b"enrolment", b"request")
    assert proves(token.public, proof, CA, b"enrolment", b"request")
    assert not proves(other.public, proof, CA, b"enrolment", b"request")
    assert not proves(token.public, proof, bytes(32), b"enrolment", b"request")
    assert not proves(token.public, proof, CA, b"another", b"request")
    assert not proves(token.public, proof, CA, b"enrolment", b"another")
    assert not proves(token.public, proof, CA, b"enrolmentr", b"equest"), "where one part ends is signed, too"


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_nonsense_proves_nothing(public: bytes, proof: bytes) -> None:
    assert not proves(public, proof, CA, b"enrolment", b"request")
