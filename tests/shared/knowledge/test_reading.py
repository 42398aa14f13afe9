"""Files of bounded size, and bad rows counted with their line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.reading import Reading, Tally, bounded_text, lines_of, merged
from shared.knowledge.triples import Row, graph_of


def test_packed_and_plain_text_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\tc\n")
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"a\tb\tc\n"))
    assert bounded_text(tmp_path / "a.tsv", what="graph") == bounded_text(tmp_path / "a.tsv.gz", what="graph") == "a\tb\tc\n"


def test_a_file_of_several_gzip_members_is_read_to_its_end(tmp_path: Path) -> None:
    members = gzip.compress(b"a\tb\tc\n") + gzip.compress(b"d\te\tf\n")
    (tmp_path / "joined.tsv.gz").write_bytes(members)
    assert bounded_text(tmp_path / "joined.tsv.gz", what="graph") == "a\tb\tc\nd\te\tf\n"
    (tmp_path / "large.tsv.gz").write_bytes(gzip.compress(b"x" * 100) * 2)
    with pytest.raises(KnowledgeError, match="unpacks to more than"):
        bounded_text(tmp_path / "large.tsv.gz", what="graph", limit=150)
    for cut, sentence in ((members[:-1], "middle of its gzip stream"), (members + b"and so on", "is not gzip")):
        (tmp_path / "cut.tsv.gz").write_bytes(cut)
        with pytest.raises(KnowledgeError, match=sentence):
            bounded_text(tmp_path / "cut.tsv.gz", what="graph")


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


NAMES = st.sampled_from("abc")
PARTS = st.lists(st.lists(st.tuples(NAMES, NAMES, NAMES, st.sampled_from([1.0, 2.0]) | st.just(-1.0)), min_size=1), min_size=1, max_size=4)


def read(rows: list[Row]) -> Reading:
    tally = Tally(Path("a.tsv"))
    for line, row in enumerate([*rows, ("z", "z", "z", 1.0)], start=1):
        tally.add(line, *row)
    return tally.reading(graph_of(tally.good))


@given(PARTS)
def test_merged_readings_keep_the_law_and_all_triples(parts: list[list[Row]]) -> None:
    readings = [read(rows) for rows in parts]
    found = merged(readings)
    assert found.graph == graph_of([row for rows in parts for row in rows if row[3] > 0] + [("z", "z", "z", 1.0)])
    assert found.rows == len(found.graph) + found.repeated + found.bad == sum(len(rows) + 1 for rows in parts)
    assert found.shown == tuple(row for reading in readings for row in reading.shown)


def test_graphs_with_dates_and_without_are_not_merged_but_dated_ones_are() -> None:
    row: Row = ("a", "r", "b", 1.0)
    plain = Reading(graph_of([row]), 1, 0, 0, ())
    first, second = (Reading(graph_of([row], times=[time]), 1, 0, 0, ()) for time in (1, 2))
    with pytest.raises(KnowledgeError, match="some of the graphs have dates"):
        merged([plain, first])
    both = merged([first, second, first])
    assert both.graph == graph_of([row, row], times=[1, 2])
    assert (both.rows, both.repeated) == (3, 1)
