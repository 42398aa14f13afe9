from __future__ import annotations

import pytest

from fedstill.compressing.scoring import Scorer
from shared.compress.cost import Times
from shared.compress.export import export_float
from shared.models import count_parameters, save_model
from shared.teachers.own import OwnTeacher
from tests.support.networks import TABLE, network, records


@pytest.fixture
def scorer(monkeypatch):
    monkeypatch.setattr("fedstill.compressing.scoring.peak_bytes", lambda *given: 2_000_000)
    return Scorer(records(count=40), TABLE, lambda content: Times(0.003, {"a slower one": 0.004}))


def test_one_student_has_the_same_quality_in_torch_in_onnx_and_as_a_teacher(scorer, tmp_path):
    student, content = network(), export_float(network(), TABLE)
    save_model(tmp_path / "student.safetensors", student)
    stages = (
        scorer.teacher("teacher", OwnTeacher(student), tmp_path),
        scorer.student("student", student, tmp_path / "student.safetensors"),
        scorer.graph("graph", content, student, tmp_path / "student.onnx"),
    )
    assert len({(stage.accuracy, stage.macro_f1, stage.parameters) for stage in stages}) == 1
    assert stages[0].parameters == count_parameters(student)
    assert all(stage.here_ms > 0 and stage.peak_mb == 2.0 for stage in stages)
    assert [stage.device_ms for stage in stages] == [None, None, 3.0]
    assert stages[2].bytes == len(content)
