"""Teacher and student are scored on the same records, by the same figures."""

from __future__ import annotations

import numpy as np
import pytest

from fedstill.scoring import student_scores, teacher_scores
from shared.data.records import Records
from shared.distill import evaluate
from shared.teachers.own import OwnTeacher
from tests.support.networks import LARGE, TABLE, network, records


def test_one_model_as_teacher_and_as_student_has_the_same_scores() -> None:
    examples, model = records(TABLE, 70), network(TABLE, LARGE)
    one, other = teacher_scores(OwnTeacher(model), examples, TABLE), student_scores(model, examples, TABLE)
    assert (one.accuracy, one.macro_f1, one.parameters, one.bytes) == (other.accuracy, other.macro_f1, other.parameters, other.bytes)
    assert one.loss == pytest.approx(other.loss, abs=1e-5)
    assert one.accuracy == evaluate(model, examples, 2).accuracy
    assert min(one.latency_ms or 0, other.latency_ms or 0) > 0


@pytest.mark.parametrize("unlabelled", [slice(0, 35), slice(0, 70)])
def test_records_without_a_label_are_not_looked_at(unlabelled: slice) -> None:
    examples, teacher = records(TABLE, 70), OwnTeacher(network(TABLE, LARGE))
    labels = examples.labels.copy()
    labels[unlabelled] = -1
    found = teacher_scores(teacher, Records(examples.inputs, labels), TABLE)
    kept = np.flatnonzero(labels >= 0)
    assert found.accuracy == (teacher_scores(teacher, examples.take(kept), TABLE).accuracy if len(kept) else 0.0)


def test_a_teacher_that_does_not_tell_its_size_has_none() -> None:
    teacher = OwnTeacher(network(TABLE, LARGE))
    teacher.parameters = 0
    found = teacher_scores(teacher, records(TABLE, 5), TABLE)
    assert (found.parameters, found.bytes) == (None, None)
