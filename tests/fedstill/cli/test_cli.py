"""The command line: every error is one sentence on stderr and its own exit code; help needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from fedstill.cli import COMMANDS, main
from shared.answers import inputs_digest
from shared.config import FederationConfig, load_config
from tests.support.texts import text_task, write_messages, write_tokenizer

HEAD = 'name = "trial"\nteacher = {width = 16, depth = 1}\nstudent = {width = 8, depth = 1, heads = 2}\n'
TASK = '[task]\nfamily = "tabular"\nlabel = "ill"\nlabels = ["no", "yes"]\ncolumns = [{name = "age"}]\n'
ROWS = "".join(f"{site},{age},{'yes' if age % 2 else 'no'}\n" for site in ("north", "south", "west") for age in range(30, 50))


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capsys.readouterr()
    code = caught.value.code
    assert isinstance(code, int)
    return code, captured.out, captured.err


DATA = 'source = "csv"\npath = "rows.csv"\nsite_column = "site"'


def federation(tmp_path: Path, csv: str | None, head: str = HEAD) -> Path:
    if csv is not None:
        (tmp_path / "rows.csv").write_text(csv)
    path = tmp_path / "federation.toml"
    path.write_text(f"{head}{TASK}[data]\n{DATA}\n")
    return path


def test_a_right_file_says_what_it_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["check", str(federation(tmp_path, "site,age,ill\n" + ROWS))], capsys)
    assert (code, err) == (0, "")
    assert "north: 13 records to learn from, 7 held out" in out


@pytest.mark.parametrize(
    ("csv", "changes", "code", "sentence"),
    [
        (None, {}, 21, "rows.csv"),
        ("site,years,ill\n" + ROWS, {}, 22, "age"),
        ("site,age,ill\nnorth,30,perhaps\n" + ROWS, {}, 23, "row"),
        ("site,age,ill\n", {}, 24, ""),
        ("site,age,ill\nnorth,inf,no\n" + ROWS, {}, 25, "row"),
        ("site,age,ill\nnorth,old,no\n" + ROWS, {}, 20, "row"),
        ("site,age,ill\n" + ROWS, {"head": "ruonds = 3\n" + HEAD}, 10, "did you mean 'rounds'?"),
        ("site,age,ill\n" + ROWS, {"head": "rounds = nan\n" + HEAD}, 10, "rounds"),
    ],
    ids=["missing file", "missing column", "label", "empty", "infinity", "no number", "unknown key", "nan in toml"],
)
def test_each_kind_of_wrong_input_has_its_code_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], csv: str | None, changes: dict[str, str], code: int, sentence: str
) -> None:
    found, out, err = run(["check", str(federation(tmp_path, csv, **changes))], capsys)
    assert found == code, err
    assert out == ""
    assert err.startswith("error: ")
    assert sentence in err
    assert f"(exit code {code})" in err
    assert "Traceback" not in err
    assert "perhaps" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["simulate", "--data", "moon"], 10, "heart and digits"),
        (["simulate", "--drop", "x"], 10, "HOW_MANY@ROUND"),
        (["simulate", "--rounds", "0"], 10, "--rounds"),
        (["simulate", "--resume", "--out", "nowhere"], 60, "holds no run"),
        (["check", "nowhere.toml"], 21, "nowhere.toml"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run(arguments, capsys)
    assert (found, out) == (code, "")
    assert sentence in err
    assert not (tmp_path / "runs").exists()


def test_init_writes_a_file_that_check_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_text("site,age,ill\n" + ROWS)
    out = tmp_path / "made.toml"
    code, *_ = run(["init", str(tmp_path / "rows.csv"), "--label", "ill", "--site-column", "site", "--out", str(out)], capsys)
    assert code == 0
    assert run(["check", str(out)], capsys)[0] == 0
    assert run(["init", str(tmp_path / "rows.csv"), "--label", "ill", "--out", str(out)], capsys)[0] == 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example_or_its_sub_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([command, "--help"], capsys)
    assert code == 0
    assert "Example" in out or "Commands" in out


def test_help_needs_neither_torch_nor_flower() -> None:
    program = (
        "import sys\nfrom fedstill.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as e:\n    assert not e.code\n"
        "assert not {'torch', 'flwr', 'onnxruntime'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout


def test_init_writes_a_task_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, tokenizer = str(write_messages(tmp_path / "m.csv", 60)), str(write_tokenizer(tmp_path).parent)
    out = tmp_path / "federation.toml"
    given = ["init", data, "--text", "message", "--label", "intent", "--sites", "3", "--out", str(out)]
    code, _, err = run([*given, "--tokenizer", tokenizer], capsys)
    assert (code, err) == (0, "")
    config = load_config(FederationConfig, out)
    assert config.task == text_task()
    assert config.tokenizer_path == tmp_path / "tokenizer.json"
    code, said, err = run(["check", str(out)], capsys)
    assert (code, err) == (0, "")
    assert "site-3" in said


def test_texts_and_their_tokeniser_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(write_messages(tmp_path / "m.csv", 60))
    code, _, err = run(["init", data, "--text", "message", "--label", "intent", "--out", str(tmp_path / "f.toml")], capsys)
    assert code
    assert "--text and --tokenizer belong together" in err


def test_check_looks_at_the_tokeniser_and_at_the_model_to_start_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, tokenizer = text_task().model_dump(mode="json"), str(write_tokenizer(tmp_path))
    path = tmp_path / "federation.toml"
    for changed, said in (
        ({"task": {**task, "tokenizer_sha256": "0" * 64}}, "is not the tokeniser of the task"),
        ({"initial_path": "gone"}, "correct initial_path or leave it out"),
    ):
        path.write_text(tomli_w.dumps({"name": "m", "tokenizer_path": tokenizer, "task": task, **changed}))
        code, _, err = run(["check", str(path)], capsys)
        assert code
        assert said in err


def test_check_says_what_would_be_answered_and_its_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = federation(tmp_path, "site,age,ill\n" + ROWS)
    (tmp_path / "public.csv").write_text("age\n30\n40\n50\n")
    plain = path.read_text()
    path.write_text(plain + '[proxy]\nsource = "records"\npath = "public.csv"\n')
    code, out, _ = run(["check", str(path)], capsys)
    digest = inputs_digest(np.array([[30], [40], [50]], np.float32))
    assert code == 0
    assert f"proxy: 3 records, 6 logits a round; no weights leave; SHA-256 {digest}" in out
    path.write_text(plain + '[proxy]\nsource = "generated"\nrecords = 8\n[students.nroth]\nwidth = 8\ndepth = 1\n')
    code, _, err = run(["check", str(path)], capsys)
    assert (code, "[students] has 'nroth', which is none of the institutions" in err) == (10, True)
    path.write_text(path.read_text().replace("nroth", "north"))
    assert "proxy: 8 generated records, 16 logits a round" in run(["check", str(path)], capsys)[1]
