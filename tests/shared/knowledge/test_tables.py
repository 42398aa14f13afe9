from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError, MissingFileError
from shared.knowledge import reading
from shared.knowledge.tables import read_table, write_table
from shared.knowledge.triples import Graph, Row, graph_of

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


PRINTED = st.characters(exclude_categories=["C", "Z"])
NAMES = st.text(PRINTED, min_size=1, max_size=6) | st.sampled_from(["#", "#a", '"', "head", "a, b", "é"])
WEIGHTS = st.floats(2.0**-100, 2.0**100, width=32)
ROWS = st.lists(st.tuples(NAMES, NAMES, NAMES, WEIGHTS), min_size=1, max_size=12)


@given(ROWS, st.lists(st.integers(-(10**18), 10**18), min_size=12, max_size=12) | st.none(), st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Row], times: list[int] | None, gz: bool) -> None:
    graph = graph_of(rows, times=times)
    path = tmp_path_factory.mktemp("t") / ("t.tsv.gz" if gz else "t.tsv")
    write_table(graph, path)
    found = read_table(path)
    assert found.graph == graph
    assert (found.rows, found.repeated, found.bad) == (len(graph), 0, 0)
    before = path.read_bytes()
    write_table(found.graph, path)
    assert path.read_bytes() == before


def test_names_that_no_table_holds_and_other_suffixes_are_not_written(tmp_path: Path) -> None:
    for name in ("a\tb", "a\nb", " a"):
        with pytest.raises(KnowledgeError, match="cannot be written in a table"):
            write_table(graph_of([(name, "r", "b", 1.0)]), tmp_path / "t.tsv")
    with pytest.raises(KnowledgeError, match=r"not named \.tsv"):
        write_table(EXPECTED, tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())


def test_remarks_are_remarks_everywhere_and_a_head_that_looks_like_one_is_written_behind_its_weight(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("# a\tb\tc\nhead\trelation\ttail\n#a\tr\tb\na\tr\tb\n")
    assert set(read_table(path).graph.rows()) == {("a", "r", "b", 1.0)}
    write_table(graph_of([("#a", "r", "b", 2.0)]), path)
    assert path.read_text() == "weight\thead\trelation\ttail\n2\t#a\tr\tb\n"


def test_a_column_of_times_makes_a_dated_graph_and_bad_times_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,head,relation,tail\n2024-01-02,a,r,b\n2024-01-01,a,r,b\n5,a,r,b\n,a,r,b\n2024-01-02,a,r,b\n")
    found = read_table(path)
    assert found.graph.times is not None
    assert found.graph.times.tolist() == [1_704_067_200, 1_704_153_600]
    assert (found.rows, found.repeated, found.bad) == (5, 1, 2)
    assert [row.line for row in found.shown] == [4, 5]
    path.write_text("head,relation,tail,time\na,r,b\na,r,b," + "9" * 30 + "\na,r,b,7\n")
    found = read_table(path)
    assert [row.reason for row in found.shown] == [
        "it has 3 columns; head, relation, tail and time are needed",
        f"its time is more than {reading.LATEST} from 0",
    ]


def test_weights_that_float32_cannot_hold_are_bad_rows_and_not_the_files_end(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tr\tb\t1e-60\na\tr\tb\t1e60\na\tr\tb\tinf\na\tr\tb\t-1\na\tr\tb\t3\n")
    found = read_table(path)
    assert [row.line for row in found.shown] == [1, 2, 3, 4]
    assert isinstance(found.graph, Graph)
    assert found.graph.weights.tolist() == [3.0]


def test_every_bad_row_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("x\n" * 50 + "a\tr\tb\n")
    assert [len(read_table(path, shown=most).shown) for most in (0, 7, 1000)] == [0, 7, 50]
