"""Files of bounded size, and bad rows counted with their line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.errors import KnowledgeError
from shared.knowledge.reading import Tally, bounded_text, lines_of


def test_packed_and_plain_text_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\tc\n")
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"a\tb\tc\n"))
    assert bounded_text(tmp_path / "a.tsv", what="graph") == bounded_text(tmp_path / "a.tsv.gz", what="graph") == "a\tb\tc\n"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.tsv", b"x" * 11, "larger than"),
        ("a.tsv.gz", gzip.compress(b"x" * 1000)[:40], "unpacks to more than"),
        ("b.tsv.gz", b"no gzip", "is not gzip"),
        ("c.tsv", b"a\0b", "zero byte"),
        ("d.tsv", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_what_is_too_large_or_no_text_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KnowledgeError, match=sentence):
        bounded_text(tmp_path / name, what="graph", limit=40 if name == "a.tsv.gz" else 10)


def test_comments_and_empty_lines_keep_the_count_of_lines() -> None:
    assert list(lines_of("# note\n\na\r\nb")) == [(3, "a"), (4, "b")]


def test_a_file_without_a_triple_says_its_first_bad_row(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "a.tsv")
    tally.add(3, "a", "", "c")
    tally.add(4, "a", "b", "c", weight=-1.0)
    with pytest.raises(KnowledgeError, match=r"no triple in 2 rows; .*line 3: its relation is empty"):
        tally.reading(None)  # type: ignore[arg-type]
