"""The three steps' benchmark on a small table: a compression of the product's own, and every figure of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import edge_steps, schooling
from benchmarks.schooling import kept_student, student_of
from benchmarks.subjects import Subject, accuracy
from shared.config import FederationConfig
from shared.data.records import Split
from shared.errors import ArtifactError
from shared.models import save_model
from shared.settings import TrainingSettings
from tests.support.networks import LARGE, SMALL, TABLE, records

CONFIG = FederationConfig(
    name="small", task=TABLE, teacher=LARGE, student=SMALL, training=TrainingSettings(epochs=8, batch_size=16, learning_rate=1e-2)
)
SUBJECT = Subject("small", CONFIG, Split(records(TABLE, 200), records(TABLE, 80, seed=1)), "accuracy", accuracy)


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schooling, "KEPT", tmp_path / "kept")
    # Any kind of processor runs it, and no machine's own time decides what is signed.
    monkeypatch.setattr(edge_steps, "here", lambda: "portable")


def test_a_kept_student_is_taken_and_every_step_has_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(kept_student(tmp_path / "students", "small", 0), student_of(SUBJECT, None, seed=0)[0])
    monkeypatch.setattr(edge_steps, "student_of", lambda *given, **named: pytest.fail("the kept student was not taken"))
    found = edge_steps.measured(SUBJECT, 1, tmp_path / "students")
    rows = {entry.name: entry for entry in edge_steps.claims("small", found, 1)}
    for step in ("teacher", "student", "float", "pruned", "signed"):
        assert 0 <= rows[f"small.{step}.accuracy"].value <= 1
        assert rows[f"small.{step}.ms"].value > 0
        assert rows[f"small.{step}.mb"].value > 0
    assert rows["small.signed"].value == 1
    assert rows["small.signed.parameters"].value <= rows["small.float.parameters"].value
    assert rows["small.signed.than_float"].value == pytest.approx(rows["small.float.ms"].value / rows["small.signed.ms"].value)
    assert rows["small.seconds.prune"].unit == "s"


def test_without_a_kept_student_one_is_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedstill.compressing.scoring.peak_bytes", lambda *given: 1_000_000)
    assert len(edge_steps.measured(SUBJECT, 1, tmp_path / "none")) == 1


def test_what_the_gate_refuses_is_counted_and_has_no_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*given: object) -> None:
        raise ArtifactError("no INT8 file may be signed")

    monkeypatch.setattr(edge_steps, "measure", refused)
    found = edge_steps.measured(SUBJECT, 2, None)
    assert [(row.name, row.value) for row in edge_steps.claims("small", found, 2)] == [("small.signed", 0.0)]
    assert capsys.readouterr().err.count("no INT8 file may be signed") == 2
