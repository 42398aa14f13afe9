from __future__ import annotations

import pytest

from fedstill.footprint import peak_bytes
from shared.compress.export import export_float
from shared.distill.teacher import save_teacher
from shared.models import save_model
from tests.support.networks import TABLE, network, records

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, student = tmp_path_factory.mktemp("models"), network()
    (folder / "student.onnx").write_bytes(export_float(student, TABLE))
    save_model(folder / "student.safetensors", student)
    save_teacher(folder / "teacher", student)
    return folder


def test_onnxruntime_alone_takes_less_than_torch(files):
    onnx = peak_bytes("onnx", files / "student.onnx", records(count=4))
    torch = peak_bytes("student", files / "student.safetensors", records(count=4))
    teacher = peak_bytes("teacher", files / "teacher", records(count=4), TABLE)
    assert None not in (onnx, torch, teacher)
    # Whatever its parent has in memory, as torch here, is not its own.
    assert 20 * MEGABYTE < onnx < torch / 2
    assert teacher > onnx


def test_a_process_that_fails_has_no_figure(files, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"noise")
    assert peak_bytes("onnx", tmp_path / "broken.onnx", records(count=2)) is None


def test_a_teacher_that_is_not_there_has_no_figure(files):
    assert peak_bytes("teacher", files / "nothing", records(count=2), TABLE) is None
