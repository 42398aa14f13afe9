"""``fedstill teacher``: fit of any kind, targets asked ahead, and what lies there; every refusal is one sentence and a code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedstill.cli import main
from fedstill.workspace import prepare
from shared.config import FederationConfig
from shared.data import Records, Split
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import NumericColumn, TabularTask

CONFIG = FederationConfig(
    name="teachers",
    task=TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(name="age"), NumericColumn(name="dose"))),
    teacher=NetworkSettings(width=8, depth=1, heads=2),
    teacher_training=TrainingSettings(epochs=2),
    distillation=DistillationSettings(views=2),
)
PLAN = """name = "teachers"
teacher = {width = 8, depth = 1, heads = 2}
teacher_training = {epochs = 2}
distillation = {views = 2}
[task]
family = "tabular"
label = "ill"
labels = ["no", "yes"]
columns = [{name = "age"}, {name = "dose"}]
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An institution's folder and the federation.toml."""
    inputs = np.random.default_rng(1).normal(60, 10, (60, 2)).astype(np.float32)
    records = Records(inputs, (inputs[:, 0] > 60).astype(np.int64))
    home = prepare(CONFIG, tmp_path, {"ash": Split(records, records)}).institutions["ash"]
    (tmp_path / "federation.toml").write_text(PLAN)
    return home, tmp_path / "federation.toml"


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["teacher", *arguments])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


def test_fit_show_and_ask(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    home, plan = str(folders[0]), ["--federation", str(folders[1])]
    code, out, _ = run(["fit", home, *plan], capsys)
    assert code == 0
    assert "teacher of ash" in out
    code, out, _ = run(["show", home, "--json"], capsys)
    facts = json.loads(out)
    assert (code, facts["kind"], facts["layers"]) == (0, "network", 1)
    assert len(facts["digest"]) == 64
    assert run(["show", str(folders[0] / "teacher"), "--json"], capsys)[1] == out
    assert "1 layers to learn from" in run(["show", home], capsys)[1]
    code, out, err = run(["cache", home, *plan, "--json"], capsys)
    kept = json.loads(out)
    assert (code, kept["records"], kept["views"]) == (0, 60, 2)
    assert "the targets of ash take" in err
    (targets,) = (folders[0] / "state").glob("targets-*")
    assert sum(path.stat().st_size for path in targets.glob("*.bin")) == kept["bytes"]
    assert "targets of 60 records in 2 views are kept" in run(["cache", home, *plan], capsys)[1]


def test_another_kind_is_fitted_only_when_forced(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    home, plan = str(folders[0]), ["--federation", str(folders[1])]
    assert run(["fit", home, *plan], capsys)[0] == 0
    assert run(["fit", home, *plan, "--kind", "boosting"], capsys)[0] == 0
    assert json.loads(run(["show", home, "--json"], capsys)[1])["kind"] == "network"
    code, out, _ = run(["fit", home, *plan, "--kind", "boosting", "--force", "--json"], capsys)
    assert code == 0
    assert json.loads(out)["accuracy"] > 0.8
    assert "boosting: " in run(["show", home], capsys)[1]
    assert "its output alone" in run(["show", home], capsys)[1]
    assert run(["cache", home, *plan], capsys)[0] == 0


def test_what_cannot_be_done_is_said(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home, plan = folders[0], ["--federation", str(folders[1])]
    code, _, err = run(["show", str(home)], capsys)
    assert code == 30
    assert "fedstill teacher fit" in err
    assert run(["cache", str(home), *plan], capsys)[0] == 30
    code, _, err = run(["fit", str(home), *plan, "--kind", "pretrained"], capsys)
    assert code == 10
    assert "texts alone" in err
    assert run(["fit", str(home), *plan, "--kind", "boosting"], capsys)[0] == 0
    code, _, err = run(["show", str(home / "teacher")], capsys)
    assert code == 10
    assert "--federation" in err
    assert run(["show", str(home / "teacher"), *plan], capsys)[0] == 0
    settings = home / "institution.toml"
    assert "cache_limit_mb = 4096" in settings.read_text()
    settings.write_text(settings.read_text().replace("cache_limit_mb = 4096", "cache_limit_mb = 0"))
    code, _, err = run(["cache", str(home), *plan], capsys)
    assert code == 90
    assert "cache_limit_mb = 0" in err
    assert not (home / "state").exists()
