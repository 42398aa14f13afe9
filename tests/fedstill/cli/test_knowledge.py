"""``fedstill knowledge``: build, inspect and embed as a user calls them; every refusal is one sentence and a code of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from fedstill.cli import main
from fedstill.plan import builtin_federation
from shared.knowledge.facts import facts_of
from shared.knowledge.heart import read_heart_graph
from shared.knowledge.tables import read_table

PAID = "day,from,to,place,type\n2024-01-01,a,b,X,food\n2024-01-02,a,b,,food\n2024-02-01,b,c,X,\nsoon,b,c,,\n"
HEART = read_heart_graph()
COLUMNS = ["--source", "from", "--target", "to", "--time", "day"]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["knowledge", *arguments])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.tsv").write_text("flu\tshows\tfever\n" + "only two\tcells\n" * 25 + "flu\tshows\tfever\nflu\tshows\tcough [dry]\n")
    (tmp_path / "paid.csv").write_text(PAID)
    (tmp_path / "federation.toml").write_text(tomli_w.dumps(builtin_federation("heart").model_dump(mode="json", exclude_none=True)))
    return tmp_path


def test_files_become_one_table_and_bad_rows_are_shown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["build", "t.tsv", "heart", "--out", "graph.tsv"], capsys)
    assert (code, err) == (0, "")
    assert f"{len(HEART) + 28} rows read: 25 bad, 1 repeated" in out
    assert "bad: t.tsv, line 2: it has 2 columns" in out
    assert out.count("bad: t.tsv, line") == 20
    assert "bad: and 5 more; --all shows every one" in out
    assert len(read_table(files / "graph.tsv").graph) == len(HEART) + 2
    code, out, _ = run(["build", "t.tsv", "--out", "graph.tsv.gz", "--all", "--json"], capsys)
    found = json.loads(out)
    assert (code, len(found["bad_rows"]), found["graph"]["triples"]) == (0, 25, 2)


def test_a_strict_build_fails_with_the_rows_and_writes_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["build", "t.tsv", "--out", "graph.tsv", "--strict"], capsys)
    assert (code, out) == (26, "")
    assert err.count("bad: t.tsv, line") == 20
    assert "25 of 28 rows are bad" in err
    assert not (files / "graph.tsv").exists()
    assert run(["build", "heart", "--out", "graph.tsv", "--strict"], capsys)[0] == 0


def test_transactions_become_a_dated_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["build", "--transactions", "paid.csv", *COLUMNS, "--location", "place", "--type", "type", "--out", "paid.tsv"]
    code, out, _ = run([*given, "--window", "7d", "--json"], capsys)
    found = json.loads(out)
    assert (code, found["rows"], found["bad"], found["window"]) == (0, 4, 1, 604_800)
    assert found["bad_rows"] == ["paid.csv, line 5: its 'day' is neither a whole number nor a date, or not what the times before it are"]
    assert set(read_table(files / "paid.tsv").graph.relations) == {"pays", "in", "does", "offers"}
    assert "from 1704067200 to" in run(given, capsys)[1]
    code, out, _ = run(["inspect", "paid.tsv", "account:b", "--before", "2024-01-20", "--json"], capsys)
    assert json.loads(out)["entity"]["reached"] == 2
    code, out, _ = run(["inspect", "paid.tsv", "account:b", "--json"], capsys)
    assert json.loads(out)["entity"]["reached"] == 4


def test_a_graph_and_an_entity_are_shown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["inspect", "heart"], capsys)
    assert (code, err) == (0, "")
    assert f"{len(HEART.entities)} entities, {len(HEART.relations)} relations, {len(HEART)} triples" in out
    assert f"{len(facts_of(HEART).components)} connected parts (of {facts_of(HEART).components[0]}" in out
    code, out, _ = run(["inspect", "t.tsv", "flu"], capsys)
    assert "'flu' is in 2 triples; 2 entities lie within 1 of it" in out
    assert "cough [dry]" in out
    code, out, err = run(["inspect", "heart", "myocardial ischemia"], capsys)
    assert (code, out) == (26, "")
    assert "did you mean 'myocardial ischaemia'" in err


def test_a_neighbourhood_is_drawn(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["inspect", "heart", "coronary artery disease", "--plot", "near.png", "--most", "5"], capsys)
    assert code == 0
    around = len(HEART.neighbourhood("coronary artery disease").entities) - 1
    assert f"drew near.png; {around - 5} neighbours are left out" in out
    assert (files / "near.png").read_bytes().startswith(b"\x89PNG")
    assert run(["inspect", "heart", "--plot", "near.png"], capsys)[0] == 10


def test_columns_and_the_graph_are_compared(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["inspect", "heart", "--config", "federation.toml", "--mapping", "heart"], capsys)
    assert code == 0
    assert "label 'yes' is 'coronary artery disease'" in out
    code, out, _ = run(["inspect", "t.tsv", "--config", "federation.toml", "--mapping", "heart"], capsys)
    assert code == 26  # its relations are not there
    (files / "mapping.toml").write_text(
        '[classes]\nyes = "flue"\n[[columns]]\nkind = "category"\ncolumn = "sex"\nentities = {male = "fevre"}\n'
        '[[columns]]\nkind = "range"\ncolumn = "age"\nedges = [50]\nentities = ["", "fever"]\n'
    )
    code, out, _ = run(["inspect", "t.tsv", "--config", "federation.toml", "--mapping", "mapping.toml"], capsys)
    assert code == 0
    assert "'sex' names 'fevre', which the graph does not have; near: fever" in out
    assert "label 'yes' names 'flue', which the graph does not have; near: flu" in out
    assert "label 'no' names no entity" in out
    own = run(["inspect", "heart", "--config", "federation.toml", "--json"], capsys)[1]
    assert own == run(["inspect", "heart", "--config", "federation.toml", "--mapping", "heart", "--json"], capsys)[1]
    assert run(["inspect", "t.tsv", "--mapping", "mapping.toml"], capsys)[0] == 10


def test_embeddings_are_written_scored_and_asked(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        ["embed", "heart", "--out", "e.safetensors", "--model", "distmult", "--dim", "8", "--epochs", "3", "--json"], capsys
    )
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["held_out"], found["triples"], found["settings"]["model"], found["settings"]["width"]) == (
        len(HEART) // 10,
        len(HEART) - len(HEART) // 10,
        "distmult",
        8,
    )
    assert 0 < found["completion"]["mrr"] <= 1
    code, out, _ = run(["inspect", "heart", "statin", "--embeddings", "e.safetensors", "--nearest", "4", "--json"], capsys)
    near = json.loads(out)["nearest"]
    assert len(near) == 4
    assert [cosine for _, cosine in near] == sorted((cosine for _, cosine in near), reverse=True)
    assert "nearest by embedding" in run(["inspect", "heart", "statin", "--embeddings", "e.safetensors"], capsys)[1]
    code, out, _ = run(["embed", "heart", "--out", "e.safetensors", "--epochs", "1", "--dim", "4"], capsys)
    assert code == 0
    assert "popularity alone" in out


def test_an_interrupted_fit_says_whether_it_can_go_on(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedstill.knowledge import embedding

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding, "pretrain", stopped)
    code, out, err = run(["embed", "heart", "--out", "e.safetensors"], capsys)
    assert (code, out) == (130, "")
    assert "nothing was kept yet" in err
    (files / "e.safetensors.fit").touch()
    assert "give the same command again" in run(["embed", "heart", "--out", "e.safetensors"], capsys)[2]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["build", "--out", "o.tsv"], 10, "give FILES or --transactions"),
        (["build", "t.tsv", "--window", "7d", "--out", "o.tsv"], 10, "belong to --transactions"),
        (["build", "t.tsv", "--transactions", "paid.csv", *COLUMNS, "--out", "o.tsv"], 10, "leave FILES and --about out"),
        (["build", "--transactions", "paid.csv", "--source", "from", "--out", "o.tsv"], 10, "needs --source, --target and --time"),
        (["build", "--transactions", "paid.csv", "--source", "form", *COLUMNS[2:], "--out", "o.tsv"], 22, "did you mean 'from'"),
        (["build", "--transactions", "none.csv", *COLUMNS, "--out", "o.tsv"], 21, "none.csv"),
        (["build", "t.tsv", "--out", "t.tsv"], 10, "one of the files that are read"),
        (["build", "t.tsv", "--out", "o.json"], 26, "not named .tsv"),
        (["build", "t.owl", "--out", "o.tsv"], 26, "no graph that can be read"),
        (["build", "t.tsv", "--before", "5", "--out", "o.tsv"], 10, "have no dates"),
        (["inspect", "t.tsv", "flu", "--embeddings", "none"], 21, "none"),
        (["inspect", "t.tsv", "flu", "--embeddings", "t.tsv"], 30, "t.tsv"),
        (["embed", "heart", "--dim", "7", "--out", "e"], 10, "'width'"),
        (["embed", "heart", "--model", "transe", "--out", "e"], 2, "transe"),
    ],
)
def test_wrong_options_and_files_are_named(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
) -> None:
    found, out, err = run(arguments, capsys)
    assert (found, out) == (code, ""), err
    assert sentence in err
    assert "Traceback" not in err
    assert not (files / "o.tsv").exists()


@pytest.mark.parametrize("command", ["build", "inspect", "embed"])
def test_every_command_helps_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([command, "--help"], capsys)
    assert code == 0
    assert "Example: fedstill knowledge" in out


def test_looking_at_a_graph_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom fedstill.cli import main\ntry:\n    main(['knowledge', 'inspect', 'heart'])\n"
        "except SystemExit as e:\n    assert not e.code\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
