"""The seam between large models and students: every kind of teacher is asked in the same words."""

from __future__ import annotations

import inspect

import pytest

from shared.teachers.boosting import BoostedTeacher
from shared.teachers.efficientnet import EfficientNetTeacher
from shared.teachers.exported import ExportedTeacher
from shared.teachers.huggingface import TextTeacher, VisionTeacher
from shared.teachers.onnxfile import OnnxTeacher
from shared.teachers.own import OwnTeacher
from shared.teachers.teacher import Teacher

KINDS = [BoostedTeacher, EfficientNetTeacher, ExportedTeacher, OnnxTeacher, OwnTeacher, TextTeacher, VisionTeacher]
METHODS = [name for name, _ in inspect.getmembers(Teacher, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_every_teacher_is_asked_alike(kind: type, name: str) -> None:
    expected, found = (inspect.signature(getattr(one, name)).parameters.values() for one in (Teacher, kind))
    assert [(one.name, one.kind, one.default) for one in found] == [(one.name, one.kind, one.default) for one in expected]


def test_the_seam_is_two_questions() -> None:
    assert METHODS == ["longest", "show"]
