from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.errors import KnowledgeError, MissingFileError
from shared.knowledge import reading
from shared.knowledge.tables import read_table
from shared.knowledge.triples import graph_of

EXPECTED = graph_of([("a", "r", "b", 1.0), ("b", "s", "c", 2.5)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "a\tr\tb\nb\ts\tc\t2.5\n"),
        ("t.tsv", "# remark\nhead\trelation\ttail\tweight\na\tr\tb\t\nb\ts\tc\t2.5"),
        ("t.csv", "\ufeffTail,Source,Head,Relation,Weight\r\nb,x,a,r,1\r\nc,y,b,s,2.5\r\n"),
        ("t.csv", '"a",r,"b"\nb,s,c,2.5\n\n'),
    ],
)
def test_all_forms_of_a_table_read_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, newline="")
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    found = read_table(tmp_path / name)
    assert found.graph == EXPECTED == read_table(tmp_path / f"{name}.gz").graph
    assert (found.rows, found.repeated, found.bad) == (2, 0, 0)


def test_bad_rows_are_counted_and_shown_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tr\tb\n\n# x\nonly\ttwo\n\tr\tb\na\tr\tb\t0\na\tr\tb\tmany\na\tr\tb\tnan\na\x07\tr\tb\na\tr\tb\nb\ts\tc\t2.5\n")
    found = read_table(path)
    assert found.graph == EXPECTED
    assert (found.rows, found.repeated, found.bad) == (9, 1, 6)
    assert [row.line for row in found.shown] == [4, 5, 6, 7, 8, 9]
    assert str(found.shown[0]) == f"{path}, line 4: it has 2 columns; head, relation and tail are needed"


def test_the_law_of_a_reading_holds_beyond_what_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,r,b\n" * 3 + "x\n" * 100 + '"open,r,b\n')
    found = read_table(path)
    assert found.rows == len(found.graph) + found.repeated + found.bad == 104
    assert len(found.shown) == reading.SHOWN
    assert found.bad == 101


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.tsv", b"a\tb\n", "has no triple in 1 rows"),
        ("t.tsv", b"", "has no triple in 0 rows"),
        ("t.tsv", b"a\tr\tb\0\n", "zero byte"),
        ("t.tsv", b"a\tr\t\xff\n", "not UTF-8"),
        ("t.xml", b"<a/>", "neither .tsv nor .csv"),
        ("t.tsv.gz", b"a\tr\tb\n", "not gzip"),
        ("t.tsv.gz", gzip.compress(b"a\tr\tb\n" * 100)[:-9], "middle of its gzip stream"),
    ],
)
def test_what_is_no_table_of_triples_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KnowledgeError, match=sentence):
        read_table(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="triples"):
        read_table(tmp_path / "none.tsv")


def test_neither_a_large_file_nor_a_bomb_is_unpacked(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "t.txt", tmp_path / "t.txt.gz"
    plain.write_bytes(b"x" * 5000)
    bomb.write_bytes(gzip.compress(b"x" * 50_000))
    with pytest.raises(KnowledgeError, match="larger than"):
        reading.bounded_text(plain, what="triples", limit=4096)
    with pytest.raises(KnowledgeError, match="unpacks to more"):
        reading.bounded_text(bomb, what="triples", limit=4096)
