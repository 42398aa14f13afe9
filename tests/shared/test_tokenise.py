"""Tokens are what the file says, cut off and filled up as the task says, and only the file that the task names is taken."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from shared.errors import ConfigError, DataError
from shared.tokenise import Tokeniser, checked_tokeniser
from tests.support.texts import messages, tokenizer_json

CONTENT = tokenizer_json().encode()
TOKENISER = Tokeniser(CONTENT)


@given(texts=st.lists(st.text(max_size=40), max_size=5), most=st.integers(4, 12))
def test_each_row_is_the_text_s_own_ids_and_padding(texts: list[str], most: int) -> None:
    ids = TOKENISER.encode(texts, max_tokens=most, padding=0)
    assert ids.shape == (len(texts), most)
    assert ids.dtype == np.int32
    for row, text in zip(ids, texts, strict=True):
        whole = Tokenizer.from_str(tokenizer_json()).encode(text).ids
        kept = whole if len(whole) <= most else [*whole[: most - 1], whole[-1]]  # a closing [SEP] is never cut off
        assert row.tolist() == kept + [0] * (most - len(kept))


def test_lengths_are_those_before_anything_is_cut_off() -> None:
    texts = [text for text, _ in messages(8)]
    TOKENISER.encode(texts, max_tokens=4, padding=0)
    assert TOKENISER.lengths(texts).tolist() == [len(text.split()) + 2 for text in texts]


def test_the_file_says_its_vocabulary_and_padding() -> None:
    assert TOKENISER.padding == 0
    assert TOKENISER.encode(["[SEP] zebra"], max_tokens=8, padding=0).max() < TOKENISER.vocabulary


def test_a_file_s_own_padding_and_truncation_do_not_count() -> None:
    tokenizer = Tokenizer.from_str(tokenizer_json())
    tokenizer.enable_padding(length=30, pad_id=3)
    tokenizer.enable_truncation(5)
    other = Tokeniser(tokenizer.to_str().encode())
    assert other.padding == 3
    texts = [text for text, _ in messages(5)]
    np.testing.assert_array_equal(other.encode(texts, max_tokens=16, padding=0), TOKENISER.encode(texts, max_tokens=16, padding=0))


def test_another_file_or_a_smaller_vocabulary_is_refused() -> None:
    assert checked_tokeniser(CONTENT, TOKENISER.digest, TOKENISER.vocabulary, where="t").digest == TOKENISER.digest
    with pytest.raises(ConfigError, match=r"t\.json is not the tokeniser of the task: its SHA-256 is"):
        checked_tokeniser(CONTENT + b" ", TOKENISER.digest, TOKENISER.vocabulary, where="t.json")
    with pytest.raises(ConfigError, match=r"but task\.vocabulary is 3; raise it"):
        checked_tokeniser(CONTENT, TOKENISER.digest, 3, where="t.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": 1}'])
def test_what_is_no_tokeniser_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"is not a tokenizer\.json"):
        Tokeniser(content)


def test_a_device_without_the_package_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match="needs the package tokenizers; install it"):
        Tokeniser(CONTENT)
