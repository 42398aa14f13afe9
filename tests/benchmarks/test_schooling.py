"""A subject's student and its teacher meet as the benchmarks have them, on records that every machine has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import schooling
from benchmarks.ablation import EVERYTHING, WITHOUT, shortened
from benchmarks.schooling import changed, score_of, student_figures, student_of, teacher_figures, teacher_of
from benchmarks.subjects import SUBJECTS, Subject, accuracy, area_under_curve, macro_f1
from shared.config import FederationConfig
from shared.data.records import Split
from shared.settings import DistillationSettings, TrainingSettings
from tests.support.networks import LARGE, SMALL, TABLE, records

CONFIG = FederationConfig(
    name="small", task=TABLE, teacher=LARGE, student=SMALL, training=TrainingSettings(epochs=20, batch_size=16, learning_rate=1e-2)
)
SUBJECT = Subject("small", CONFIG, Split(records(TABLE, 200), records(TABLE, 80, seed=1)), "accuracy", accuracy)


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schooling, "KEPT", tmp_path)


def test_trees_teach_a_small_student() -> None:
    threads = torch.get_num_threads()
    try:
        teacher = teacher_of(SUBJECT)
        assert teacher_of(SUBJECT).digest == teacher.digest
        student, seconds = student_of(SUBJECT, teacher, seed=1)
        figures = student_figures(SUBJECT, student, seconds)
        assert min(figures.score, teacher_figures(SUBJECT, teacher).score, score_of(SUBJECT, student)) > 0.7
        assert figures.bytes == 4 * (figures.parameters or 0)
        assert figures.onnx_ms is not None
    finally:
        torch.set_num_threads(threads)


def test_each_ablation_takes_out_exactly_one_part() -> None:
    whole = changed(SUBJECT, **EVERYTHING).config.distillation
    for part, keys in WITHOUT.items():
        other = changed(SUBJECT, **{**EVERYTHING, **keys}).config.distillation
        differing = {name for name in DistillationSettings.model_fields if getattr(whole, name) != getattr(other, name)}
        assert differing == set(keys), part
    assert shortened(SUBJECT, 3).config.training.epochs == 3


def test_metrics_by_hand() -> None:
    logits, labels = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.5]], np.float32), np.array([0, 1, 1, 0])
    assert accuracy(logits, labels) == 0.5
    assert macro_f1(logits, labels) == 0.5
    assert area_under_curve(logits, labels) == pytest.approx(0.5)


def test_without_the_data_a_benchmark_says_so_and_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FEDSTILL_BENCH_DATA", raising=False)
    for subject in SUBJECTS.values():
        with pytest.raises(SystemExit) as ended:
            subject()
        assert ended.value.code == 21
    assert "SKIPPED: set FEDSTILL_BENCH_DATA" in capsys.readouterr().err
