"""``fedstill init``: what it writes is read back as it was inferred, every value spelled out, and nothing is overwritten unasked."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedstill.cli import main
from fedstill.inferring import Hints, infer_federation
from shared.config import FederationConfig, load_config
from tests.fedstill.test_inferring import questions


def run(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["init", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    lines = (f"{site},{age},{('mild', 'none', 'severe')[age % 3]}\n" for site in ("north", "south") for age in range(30, 60))
    (tmp_path / "patients.csv").write_text("hospital,age,outcome\n" + "".join(lines))
    return tmp_path / "patients.csv"


def test_the_file_is_what_was_inferred_with_every_value(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made.toml"
    code, said, _ = run([rows, "--label", "outcome", "--site-column", "hospital", "--out", out], capsys)
    assert (code, said) == (0, f"wrote {out}: 3 labels, tabular task; next: fedstill simulate {out}\n")
    assert load_config(FederationConfig, out) == infer_federation(rows, Hints(label="outcome", site_column="hospital"))
    table = tomllib.loads(out.read_text())
    for key in ("rounds", "seed", "teacher", "student", "distillation", "aggregation", "optimizer", "compression"):
        assert key in table
    assert table["aggregation"]["lone_heads"] is False


def test_images_need_no_label_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for site in ("east", "west"):
        for label in ("bad", "good"):
            (tmp_path / "leaves" / site / label).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "leaves" / site / label / "1.png")
    code, said, _ = run([tmp_path / "leaves", "--out", tmp_path / "f.toml"], capsys)
    assert code == 0
    assert "2 labels, image task" in said


def test_nothing_is_overwritten_unless_forced_and_a_refusal_leaves_nothing(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "federation.toml"
    out.write_text("mine")
    code, _, err = run([rows, "--label", "outcome", "--out", out], capsys)
    assert (code, out.read_text()) == (10, "mine")
    assert "--force" in err
    for wrong in (["--label", "gone"], ["--label", "outcome", "--sites", "2", "--site-column", "hospital"]):
        assert run([rows, *wrong, "--out", tmp_path / "new.toml"], capsys)[0] in (10, 22)
        assert not (tmp_path / "new.toml").exists()
    assert run([rows, "--label", "outcome", "--out", out, "--force"], capsys)[0] == 0
    assert load_config(FederationConfig, out).task.labels == ("mild", "none", "severe")


def test_heads_are_written_and_groups_of_sites_are_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = questions(tmp_path / "rows.csv"), tmp_path / "f.toml"
    given = [path, "--label", "defect", "--site-column", "plant", "--out", out, "--force"]
    code, said, told = run([*given, "--head-column", "question"], capsys)
    assert (code, told) == (0, "")
    assert "4 labels in 2 heads, tabular task" in said
    assert len(load_config(FederationConfig, out).task.heads) == 2
    code, said, told = run(given, capsys)
    assert code == 0
    assert "4 labels, tabular task" in said
    assert f"see the end of {out}" in told
    assert out.read_text().splitlines()[-1].startswith("# ")
    assert load_config(FederationConfig, out) == infer_federation(path, Hints(label="defect", site_column="plant"))
