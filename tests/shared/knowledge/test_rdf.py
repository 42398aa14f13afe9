from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.rdf import read_rdf

LINES = '<http://x/a> <http://x/r> <http://x/b> .\n<http://x/b> <http://x/name> "Bee"@en .\n'
TURTLE = '@prefix x: <http://x/> .\nx:a x:r x:b .\nx:b x:name "Bee"@en .\n'


def test_ntriples_and_turtle_of_one_graph_are_equal(tmp_path: Path) -> None:
    (tmp_path / "t.nt").write_text(LINES)
    (tmp_path / "t.ttl").write_text(TURTLE)
    one, other = read_rdf(tmp_path / "t.nt"), read_rdf(tmp_path / "t.ttl")
    assert one.graph == other.graph
    assert set(one.graph.rows()) == {("http://x/a", "http://x/r", "http://x/b", 1.0), ("http://x/b", "http://x/name", "Bee", 1.0)}


def test_bad_lines_and_blank_nodes_are_counted_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "t.nt"
    path.write_text(
        LINES + "<http://x/a> broken\n" + "_:b <http://x/r> <http://x/a> .\n" + '<http://x/a> <http://x/r> "two\\nlines" .\n' + LINES
    )
    found = read_rdf(path)
    assert [row.line for row in found.shown] == [3, 4, 5]
    assert (found.rows, found.repeated, found.bad, len(found.graph)) == (7, 2, 3, 2)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("t.rdf", "<rdf/>", "entities can explode"),
        ("t.xml", '<!DOCTYPE x [<!ENTITY a "b">]>', "entities can explode"),
        ("t.ttl", "@prefix x: <http://x/> .\nx:a x:r .\n", "line 2 is no Turtle"),
        ("t.ttl", "x:a x:r x:b .", "is no Turtle"),
        ("t.ttl", TURTLE + 'x:t x:c """two\nlines"".\n^x:z a x:k .', "line 6 cannot be read as Turtle"),
        ("t.nt", "nothing\n", "no triple in 1 rows"),
        ("t.ttl", "", "no triple in 0 rows"),
    ],
)
def test_what_is_no_rdf_is_refused(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(KnowledgeError, match=sentence):
        read_rdf(tmp_path / name)


def test_deep_nesting_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.ttl"
    path.write_text("@prefix x: <http://x/> .\nx:a x:r " + "(" * 20_000 + ")" * 20_000 + " .")
    with pytest.raises(KnowledgeError, match="Turtle"):
        read_rdf(path)


def test_turtle_shows_bad_statements_with_their_line_and_counts_repeated_ones(tmp_path: Path) -> None:
    path = tmp_path / "t.ttl"
    path.write_text(TURTLE + '\nx:a x:r x:b ;\n  x:s [ x:q 5 ] .\nx:a x:note """two\nlines""" .\n<rel> x:r x:a .\n')
    found = read_rdf(path)
    assert (found.rows, found.repeated, found.bad, len(found.graph)) == (7, 1, 3, 3)
    assert [row.line for row in found.shown] == [6, 6, 8]
    assert ("relative:/rel", "http://x/r", "http://x/a", 1.0) in set(found.graph.rows())
    assert read_rdf(path).shown == found.shown
    assert len(read_rdf(path, shown=1).shown) == 1


@given(
    st.lists(st.tuples(st.integers(0, len(TURTLE) - 1), st.sampled_from(list("<>\"{}[]()@.;,:\\\n#_^'=!")), st.integers(0, 2)), max_size=4)
)
def test_broken_turtle_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str, int]]
) -> None:
    text = TURTLE
    for place, character, removed in changes:
        text = text[:place] + character + text[place + removed :]
    path = tmp_path_factory.mktemp("t") / "t.ttl"
    path.write_text(text)
    try:
        found = read_rdf(path)
    except KnowledgeError:
        return
    assert found.rows == len(found.graph) + found.repeated + found.bad
