from __future__ import annotations

from fedstill.compressing.work import Work
from fedstill.report.compressed import Stage


def stage(name, **times):
    return Stage(name=name, accuracy=0.5, macro_f1=0.4, parameters=1, bytes=1, **times)


def test_the_plot_shows_the_files_and_not_what_torch_ran():
    work = Work(None, None, None, None, None, b"")
    work.stages = [stage("student, torch", here_ms=3.0), stage("student, ONNX", here_ms=1.0, device_ms=2.0), stage("lost", device_ms=2.0)]
    assert work.points == [("student, ONNX", 1.0, 0.5)]
