"""Packed and plain files of one kind."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.knowledge.packing import packed, plain_suffix


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.tsv", ".tsv"), ("a.TSV.gz", ".tsv"), ("a.b.nt", ".nt"), ("a.gz", ""), ("a", ""), ("x.y.GZ", ".y")]
)
def test_the_suffix_is_that_of_what_is_packed(name: str, suffix: str) -> None:
    assert plain_suffix(Path(name)) == suffix


def test_equal_content_is_packed_to_equal_bytes_that_give_it_back() -> None:
    once, again = (packed(Path("a.tsv.gz"), b"a\tb\n") for _ in range(2))
    assert once == again
    assert gzip.decompress(once) == packed(Path("a.tsv"), b"a\tb\n") == b"a\tb\n"
