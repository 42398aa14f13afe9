"""Teacher and student on the same held-out records: how good, how large, how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedstill.report.distilled import Scores

if TYPE_CHECKING:
    from shared.data import Records
    from shared.models import Network
    from shared.task import Task
    from shared.teachers import Teacher

FLOAT_BYTES = 4


def teacher_scores(teacher: Teacher, records: Records, task: Task) -> Scores:
    """The teacher's figures; records without a label are not looked at."""
    import numpy as np

    from shared.compress.latency import median_seconds
    from shared.data.records import labelled
    from shared.distill.evaluation import score
    from shared.distill.targets import SHOWN

    one, records = records.take(np.arange(1)), labelled(records)
    batches = np.split(np.arange(len(records)), range(SHOWN, len(records), SHOWN))
    shown = [teacher.show(records.take(rows)).logits.numpy() for rows in batches if len(rows)]
    found = score(np.concatenate([np.zeros((0, len(task.labels)), np.float32), *shown]), records.labels, len(task.labels), task.heads)
    return Scores(
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        loss=found.loss,
        # 0 stands for a file that does not tell.
        parameters=teacher.parameters or None,
        bytes=teacher.parameters * FLOAT_BYTES or None,
        latency_ms=1000 * median_seconds(lambda: teacher.show(one), repeats=30, warm_up=3),
    )


def student_scores(student: Network, records: Records, task: Task) -> Scores:
    """The student's figures; records without a label are not looked at."""
    from shared.compress.latency import torch_latency
    from shared.distill import evaluate
    from shared.models import count_parameters

    found, parameters = evaluate(student, records, len(task.labels), task.heads), count_parameters(student)
    return Scores(
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        loss=found.loss,
        parameters=parameters,
        bytes=parameters * FLOAT_BYTES,
        latency_ms=1000 * torch_latency(student, records.inputs),
    )
