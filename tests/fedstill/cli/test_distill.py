"""``fedstill distill``: from records or a federation.toml to a student; every refusal is one sentence and a code of its own."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tomli_w
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedTokenizerFast

from fedstill.cli import main
from shared.config import FederationConfig, load_config
from tests.support.texts import INTENTS, tokenizer_json, write_messages


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["distill", *arguments])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


def write_rows(folder: Path) -> Path:
    ages = np.random.default_rng(1).normal(60, 10, 90)
    (folder / "patients.csv").write_text("age,outcome\n" + "".join(f"{age:.2f},{'ill' if age > 60 else 'well'}\n" for age in ages))
    return folder / "patients.csv"


def write_teacher(folder: Path) -> Path:
    """A Hugging Face folder with an untrained reader of the messages and its tokeniser."""
    names = dict(enumerate(INTENTS))
    tokenizer = Tokenizer.from_str(tokenizer_json())
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=tokenizer.get_vocab_size(),
        pad_token_id=0,
        id2label=names,
        label2id={name: place for place, name in names.items()},
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    return folder


def test_a_table_becomes_a_student_and_stdout_has_the_summary_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(write_rows(tmp_path)), "--label", "outcome", "--epochs", "2", "--out", str(tmp_path / "out")]
    code, out, err = run([*given, "--json"], capsys)
    summary = json.loads(out)
    assert (code, summary["epochs"], summary["records"] + summary["held_out"]) == (0, 2, 90)
    assert "the student keeps" in err
    for name in summary["files"].values():
        assert str(tmp_path / "out" / name) in err.replace("\n", "")
    code, out, err = run(given, capsys)
    assert (code, out) == (0, "")
    assert "is distilled already" in err


def test_a_federation_toml_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["init", str(write_rows(tmp_path)), "--label", "outcome", "--out", str(tmp_path / "federation.toml")])
    config = load_config(FederationConfig, tmp_path / "federation.toml")
    table = config.model_copy(update={"distillation": config.distillation.model_copy(update={"teacher": "none"})})
    (tmp_path / "hard.toml").write_text(tomli_w.dumps(table.model_dump(mode="json", exclude_none=True)))
    capsys.readouterr()
    given = [str(tmp_path / "hard.toml"), "--epochs", "1", "--json", "--out"]
    code, out, _ = run([*given, str(tmp_path / "out")], capsys)
    assert (code, json.loads(out)["teacher"]) == (0, None)
    code, _, err = run([*given, str(tmp_path / "other"), "--teacher", str(tmp_path)], capsys)
    assert code == 10
    assert "distillation.teacher is 'none'" in err
    assert run([*given, str(tmp_path / "other"), "--label", "outcome"], capsys)[0] == 10


def test_images_in_folders_of_labels_need_no_sites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label, light in (("bad", 0), ("good", 120)):
        (tmp_path / "leaves" / label).mkdir(parents=True)
        for place in range(12):
            pixels = np.random.default_rng(place).integers(0, 120, (8, 8)) + light
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "leaves" / label / f"{place}.png")
    code, out, _ = run([str(tmp_path / "leaves"), "--epochs", "1", "--out", str(tmp_path / "out"), "--json"], capsys)
    assert (code, json.loads(out)["name"]) == (0, "leaves")


def test_texts_and_a_hugging_face_teacher_whose_tokeniser_is_the_students(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = write_teacher(tmp_path / "reader")
    messages = str(write_messages(tmp_path / "messages.csv", 60))
    given = [messages, "--label", "intent", "--teacher", str(teacher), "--epochs", "1", "--out", str(tmp_path / "out"), "--json"]
    code, out, _ = run([*given, "--text", "message"], capsys)
    summary = json.loads(out)
    assert (code, sorted(summary["files"])) == (0, ["graph", "student", "tokeniser"])
    assert summary["teacher"]["parameters"] > 0
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (teacher / "tokenizer.json").read_bytes()


def test_a_pretrained_encoder_is_tuned_and_gives_the_student_its_tokeniser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = write_teacher(tmp_path / "encoder")
    messages = str(write_messages(tmp_path / "messages.csv", 60))
    given = [messages, "--text", "message", "--label", "intent", "--teacher-kind", "pretrained", "--base", str(encoder), "--epochs", "1"]
    code, out, _ = run([*given, "--out", str(tmp_path / "out"), "--json"], capsys)
    assert code == 0
    assert json.loads(out)["teacher"]["parameters"] > 0
    assert (tmp_path / "out" / "teacher" / "config.json").exists()
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (encoder / "tokenizer.json").read_bytes()


def test_rows_without_a_label_are_allowed_where_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path).read_text().splitlines()
    half = [line if place % 3 else line.rpartition(",")[0] + "," for place, line in enumerate(rows[1:])]
    (tmp_path / "half.csv").write_text("\n".join([rows[0], *half]) + "\n")
    given = [str(tmp_path / "half.csv"), "--label", "outcome", "--epochs", "1", "--out", str(tmp_path / "out")]
    assert run(given, capsys)[0] == 23
    assert run([*given, "--unlabelled"], capsys)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["gone.csv"], 21, "gone.csv is not there"),
        (["gone.toml"], 21, "gone.toml"),
        (["patients.csv"], 22, "label"),
        (["patients.csv", "--data", "heart"], 10, "give one of them"),
        (["--data", "hearts"], 10, "no such built-in data"),
        (["--label", "outcome"], 10, "say it themselves"),
        (["--unlabelled"], 10, "say it themselves"),
        (["patients.csv", "--label", "outcome", "--text", "age"], 10, "belong together"),
        (["patients.csv", "--label", "outcome", "--teacher", "gone"], 30, "there is no teacher in"),
        (["patients.csv", "--label", "outcome", "--teacher-kind", "pretrained"], 10, "no pretrained teacher of tables"),
        (["patients.csv", "--label", "outcome", "--base", "bert"], 10, "choose 'pretrained'"),
        (["patients.csv", "--label", "outcome", "--teacher", "trees.txt", "--teacher-kind", "boosting"], 10, "give one or the other"),
        (["patients.csv", "--label", "outcome", "--cache-limit-mb", "-1"], 2, "--cache-limit-mb"),
        (["patients.csv", "--label", "outcome", "--seed", "-1"], 10, "--seed"),
        (["patients.csv", "--label", "outcome", "--epochs", "0"], 2, "--epochs"),
        (["patients.csv", "--label", "outcome", "--out", "."], 60, "holds something else"),
    ],
)
def test_refusals_leave_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    write_rows(tmp_path)
    monkeypatch.chdir(tmp_path)
    found, out, err = run([*arguments, *([] if "--out" in arguments else ["--out", "out"])], capsys)
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["patients.csv"]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(write_rows(tmp_path)), "--label", "outcome", "--epochs", "2", "--out", str(tmp_path / "out")]
    with patch("shared.distill.alone.distil", side_effect=KeyboardInterrupt):
        code, out, err = run(given, capsys)
    assert (code, out) == (130, "")
    assert f"--out {tmp_path / 'out'}" in err.replace("\n", "")
    assert run(given, capsys)[0] == 0
