"""Graphs from files and from transactions, written as one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedstill.knowledge.building import from_files, from_transactions, held_before, moment, write_graph
from shared.errors import ConfigError, KnowledgeError
from shared.knowledge.heart import read_heart_graph
from shared.knowledge.tables import read_table
from shared.knowledge.transaction_file import TransactionNames
from shared.knowledge.triples import graph_of, joined

NAMES = TransactionNames("from", "to", "day", window="10")


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    (tmp_path / "t.tsv").write_text("aspirin\ttreats\tcoronary artery disease\nx\n" + "a\tr\tb\n")
    return tmp_path / "t.tsv"


@pytest.fixture
def paid(tmp_path: Path) -> Path:
    (tmp_path / "p.csv").write_text("day,from,to\n1,a,b\n2,a,b\n12,b,c\n13,b,c\nx,b,c\n")
    return tmp_path / "p.csv"


def test_files_and_built_in_graphs_become_one_table(triples: Path, tmp_path: Path) -> None:
    built = from_files(["heart", str(triples)])
    summary = write_graph(built, tmp_path / "o.tsv.gz", ["heart", str(triples)])
    written = read_table(tmp_path / "o.tsv.gz").graph
    assert written == joined(read_heart_graph(), read_table(triples).graph)
    rows = len(read_heart_graph()) + 3
    assert (summary.rows, summary.bad, summary.repeated) == (rows, 1, rows - 1 - len(written))
    assert summary.bad_rows == (f"{triples}, line 2: it has 1 columns; head, relation and tail are needed",)
    assert (summary.graph.triples, summary.graph.digest) == (len(written), written.digest())


def test_a_bad_row_is_an_error_where_that_is_wanted_and_nothing_is_written(triples: Path, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"1 of 3 rows are bad, the first: .*t\.tsv, line 2"):
        write_graph(from_files([str(triples)]), tmp_path / "o.tsv", [triples], strict=True)
    assert not (tmp_path / "o.tsv").exists()


def test_what_is_read_is_not_written_over(triples: Path, tmp_path: Path) -> None:
    before = triples.read_bytes()
    (tmp_path / "link.tsv").symlink_to(triples)
    for out in (triples, tmp_path / "link.tsv"):
        with pytest.raises(ConfigError, match="is one of the files that are read"):
            write_graph(from_files([str(triples)]), out, [str(triples)])
    assert triples.read_bytes() == before


def test_transactions_before_a_time_are_those_of_windows_that_were_over(paid: Path, tmp_path: Path) -> None:
    whole = from_transactions(paid, NAMES)
    assert (whole.rows, whole.bad, whole.repeated, whole.window) == (5, 1, None, 10)
    assert whole.graph.weights.tolist() == [2.0, 2.0]
    assert list(from_transactions(paid, NAMES, before="15").graph.rows()) == [("account:a", "pays", "account:b", 2.0)]
    with pytest.raises(KnowledgeError, match="nothing held before 9"):
        from_transactions(paid, NAMES, before="9")
    summary = write_graph(whole, tmp_path / "o.tsv", [paid])
    assert (summary.graph.first, summary.graph.last) == (1, 12)
    assert from_files([str(tmp_path / "o.tsv")]).graph == whole.graph
    assert len(from_files([str(tmp_path / "o.tsv")], before="12").graph) == 1


def test_every_bad_row_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("x\n" * 30 + "a\tr\tb\n")
    (tmp_path / "p.csv").write_text("day,from,to\n1,a,b\n" + "x,a,b\n" * 30)
    for every, count in ((False, 20), (True, 30)):
        assert len(from_files([str(tmp_path / "t.tsv")], every=every).shown) == count
        assert len(from_transactions(tmp_path / "p.csv", NAMES, every=every).shown) == count


def test_a_time_is_asked_only_of_dated_triples() -> None:
    graph = graph_of([("a", "r", "b", 1.0)])
    assert held_before(graph, None) is graph
    with pytest.raises(ConfigError, match="have no dates"):
        held_before(graph, "5")
    assert (moment("-5"), moment("1970-01-02")) == (-5, 86_400)
    with pytest.raises(ConfigError, match="--before soon is no time"):
        moment("soon")
