"""Any graph by its name; the suffix says how it is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.errors import KnowledgeError, MissingFileError
from shared.knowledge.heart import read_heart_graph
from shared.knowledge.opening import read_graph
from shared.knowledge.triples import graph_of

BIF = """network n { }
variable d { type discrete [ 2 ] { flu, cold }; }
variable f { type discrete [ 2 ] { yes, no }; }
probability ( d ) { table 0.2, 0.8; }
probability ( f | d ) { (flu) 0.9, 0.1; (cold) 0.1, 0.9; }
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.tsv", "x:a\tx:r\tx:b\n"),
        ("g.csv", "x:a,x:r,x:b\n"),
        ("g.nt", "<x:a> <x:r> <x:b> .\n"),
        ("g.ttl", "@prefix x: <x:> . x:a x:r x:b ."),
    ],
)
def test_one_graph_in_all_forms_packed_or_not(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    expected = graph_of([("x:a", "x:r", "x:b", 1.0)])
    assert read_graph(tmp_path / name).graph == read_graph(str(tmp_path / f"{name}.gz")).graph == expected


def test_a_network_speaks_of_all_its_arcs_or_about_one_variable(tmp_path: Path) -> None:
    path = tmp_path / "n.bif"
    path.write_text(BIF)
    expected = {("d=flu", "shows", "f=yes", 1.0)}
    found = read_graph(path)
    assert set(found.graph.rows()) == expected == set(read_graph(path, target="d").graph.rows())
    assert (found.rows, found.bad) == (1, 0)
    with pytest.raises(KnowledgeError, match="no variable 'x'"):
        read_graph(path, target="x")
    path.write_text(BIF.replace("(flu) 0.9, 0.1; (cold) 0.1, 0.9;", "(flu) 0.5, 0.5; (cold) 0.5, 0.5;"))
    with pytest.raises(KnowledgeError, match="--about"):
        read_graph(path)


def test_a_built_in_graph_is_read_by_its_name() -> None:
    assert read_graph("heart").graph == read_heart_graph()


def test_bad_rows_are_kept_as_many_as_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "g.tsv").write_text("x\n" * 30 + "a\tr\tb\n")
    (tmp_path / "g.nt").write_text("x\n" * 30 + "<x:a> <x:r> <x:b> .\n")
    for name in ("g.tsv", "g.nt"):
        assert [len(read_graph(tmp_path / name, shown=most).shown) for most in (3, 99)] == [3, 30]


def test_other_files_are_refused_with_what_can_be_read(tmp_path: Path) -> None:
    for name in ("g.owl", "hearts", "g.gz"):
        with pytest.raises(KnowledgeError, match=r"\.tsv.*\.nt.*\.bif.*built-in one: heart"):
            read_graph(tmp_path / name)
    with pytest.raises(MissingFileError, match="triples"):
        read_graph(tmp_path / "none.tsv")
