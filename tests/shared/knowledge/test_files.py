from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.errors import KnowledgeError
from shared.knowledge.files import read_graph
from shared.knowledge.triples import graph_of

TRIPLES = "<http://x.org/a> <http://x.org/r> <http://x.org/b> .\n"


def test_the_suffix_says_what_a_file_is(tmp_path: Path) -> None:
    files = {"a.tsv": "a\tr\tb\n", "a.csv": "a,r,b\n", "a.nt": TRIPLES, "a.ttl": TRIPLES}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        assert read_graph(tmp_path / name).graph == read_graph(tmp_path / f"{name}.gz").graph
    assert read_graph(tmp_path / "a.csv").graph == graph_of([("a", "r", "b", 1.0)])
    assert len(read_graph(tmp_path / "a.ttl").graph) == 1


@pytest.mark.parametrize(
    ("name", "what"), [("a.bif", "is a Bayesian network; make triples of it"), ("a.xlsx", "is no graph that can be read")]
)
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_text("network x {}")
    with pytest.raises(KnowledgeError, match=what):
        read_graph(tmp_path / name)


def test_dates_are_left_behind_for_training(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("head\trelation\ttail\tweight\ttime\na\tr\tb\t2\t1\na\tr\tb\t1\t5\nx\n")
    found = read_graph(tmp_path / "a.tsv")
    assert found.graph == graph_of([("a", "r", "b", 2.0)])
    assert found.rows == len(found.graph) + found.repeated + found.bad == 3
