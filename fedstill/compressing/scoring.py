"""Every model on the way on the same held-out records: how good, how large, how fast here and on the device, how much memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedstill.footprint import peak_bytes
from fedstill.report.compressed import Stage
from fedstill.report.distilled import Scores
from fedstill.scoring import student_scores, teacher_scores

if TYPE_CHECKING:
    from shared.compress.cost import Timing
    from shared.data.records import Records
    from shared.models import Network
    from shared.task import Task
    from shared.teachers import Teacher


class Scorer:
    """Figures on ``test``; ``timing`` are the device's models of time."""

    def __init__(self, test: Records, task: Task, timing: Timing) -> None:
        self.test, self._task, self.timing = test, task, timing

    def teacher(self, name: str, teacher: Teacher, file: Path) -> Stage:
        """A teacher that lies at ``file``."""
        return _stage(name, teacher_scores(teacher, self.test, self._task), peak_bytes("teacher", file, self.test, self._task))

    def student(self, name: str, student: Network, file: Path) -> Stage:
        """A student in torch, whose checkpoint lies at ``file``."""
        return _stage(name, student_scores(student, self.test, self._task), peak_bytes("student", file, self.test))

    def graph(self, name: str, content: bytes, student: Network, file: Path) -> Stage:
        """An ONNX file, float or INT8, of ``student``, as onnxruntime computes it; ``content`` lies at ``file``."""
        from shared.compress import runtime
        from shared.compress.latency import onnx_latency
        from shared.data.records import labelled
        from shared.distill.evaluation import score
        from shared.models import count_parameters

        records = labelled(self.test)
        logits = runtime.logits(runtime.session(content), records.inputs)
        found = score(logits, records.labels, len(self._task.labels), self._task.heads)
        return Stage(
            name=name,
            accuracy=found.accuracy,
            macro_f1=found.macro_f1,
            parameters=count_parameters(student),
            bytes=len(content),
            here_ms=1000 * onnx_latency(content, records.inputs),
            device_ms=1000 * self.timing(content).seconds,
            peak_mb=_megabytes(peak_bytes("onnx", file, records)),
        )


def _stage(name: str, found: Scores, peak: int | None) -> Stage:
    return Stage(
        name=name,
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        parameters=found.parameters,
        bytes=found.bytes,
        here_ms=found.latency_ms,
        peak_mb=_megabytes(peak),
    )


def _megabytes(peak: int | None) -> float | None:
    return None if peak is None else peak / 1e6
