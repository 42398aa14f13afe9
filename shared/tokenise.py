"""Texts as token ids, by a Hugging Face ``tokenizer.json``: what institutions, the coordinator and edge devices must do alike.

The package ``tokenizers`` is imported at first use: an edge device whose task is not one of texts does without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError

FILE = "tokenizer.json"
PADDING_WORDS = ("[PAD]", "<pad>", "<|endoftext|>")
"""Names of the token that fills rows up, where the file itself does not say which it is."""
_BATCH = 4096


class Tokeniser:
    """A tokeniser as its file says, but for padding and truncation, which are the task's.

    ``digest`` is the file's SHA-256 in hex, ``vocabulary`` one more than the largest id that it can give.
    """

    def __init__(self, content: bytes) -> None:
        """Raises :class:`ConfigError` where ``content`` is no tokeniser, or the package is missing."""
        self._tokenizer = _parsed(content)
        self.content = content
        self.digest = hashlib.sha256(content).hexdigest()
        self.vocabulary = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0) + 1
        self.padding = self._padding()
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def encode(self, texts: Sequence[str], *, max_tokens: int, padding: int) -> NDArray[np.int32]:
        """int32 ``(n, max_tokens)``: each text's ids with the tokeniser's special tokens, cut off or filled up with ``padding``."""
        self._tokenizer.enable_truncation(max_tokens)
        ids = np.full((len(texts), max_tokens), padding, np.int32)
        for start in range(0, len(texts), _BATCH):
            for row, found in enumerate(self._tokenizer.encode_batch(list(texts[start : start + _BATCH])), start):
                ids[row, : len(found.ids)] = found.ids
        return ids

    def decode(self, ids: NDArray[np.int32], padding: int) -> list[str]:
        """The texts of ids ``(n, max_tokens)``, without special tokens: as near to what was encoded as the tokeniser keeps it."""
        rows = [row[row != padding].tolist() for row in ids]
        found: list[str] = self._tokenizer.decode_batch(rows, skip_special_tokens=True)
        return found

    def lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many tokens each text has when nothing is cut off, int64 ``(n,)``."""
        self._tokenizer.no_truncation()
        return np.array([len(found.ids) for found in self._tokenizer.encode_batch(list(texts))], np.int64)

    def _padding(self) -> int | None:
        if self._tokenizer.padding is not None:
            return int(self._tokenizer.padding["pad_id"])
        found = (self._tokenizer.token_to_id(word) for word in PADDING_WORDS)
        return next((number for number in found if number is not None), None)


def checked_tokeniser(content: bytes, sha256: str, vocabulary: int, *, where: str) -> Tokeniser:
    """The tokeniser that a task names by ``sha256`` and ``vocabulary``; raises :class:`ConfigError` that names ``where`` for another."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ConfigError(f"{where} is not the tokeniser of the task: its SHA-256 is {digest}, task.tokenizer_sha256 is {sha256}")
    tokeniser = Tokeniser(content)
    if tokeniser.vocabulary > vocabulary:
        raise ConfigError(f"{where} has ids up to {tokeniser.vocabulary - 1}, but task.vocabulary is {vocabulary}; raise it")
    return tokeniser


def _parsed(content: bytes) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DataError("a text task needs the package tokenizers; install it, or give token ids as an .npy array") from error
    try:
        return Tokenizer.from_str(content.decode())
    except Exception as error:  # tokenizers raises a bare Exception for a file it cannot read
        raise ConfigError(f"the tokeniser is not a {FILE} of Hugging Face tokenizers; save it again with Tokenizer.save") from error
