from __future__ import annotations

import numpy as np
import pytest

from shared.compress.export import export_float
from shared.compress.qat.heal import heal_quantised
from shared.compress.quantise import quantise
from shared.distill.trainer import distil
from shared.models import to_vector
from shared.settings import DistillationSettings, TrainingSettings
from tests.support.calibrated import FAMILIES, ranges_of, student_of
from tests.support.networks import records

ALONE = DistillationSettings(teacher="none", soft_weight=0.0, hidden_weight=0.0, attention_weight=0.0)
TRAINING = TrainingSettings(epochs=1, batch_size=16)


def healed(*, learn: bool = True):
    task, _ = FAMILIES["perceptron"]
    model, own = student_of("perceptron"), records(task, 60)
    distil(model, None, own, TRAINING, ALONE, seed=1)
    before = to_vector(model)
    ranges = ranges_of(export_float(model, task), task, own.inputs)
    found = heal_quantised(model, None, own, TRAINING, ALONE, ranges=ranges, grid="u8s8-7bit", seed=2, learn=learn)
    return model, before, ranges, found


def test_student_and_ranges_change_and_can_be_exported() -> None:
    model, before, ranges, found = healed()
    assert found.keys() == ranges.keys()
    assert found != ranges
    assert not np.array_equal(to_vector(model), before)
    assert quantise(export_float(model, model.task), found, "u8s8-7bit")


def test_equal_arguments_give_equal_bits() -> None:
    (first, *_, one), (second, *_, other) = healed(), healed()
    assert np.array_equal(to_vector(first), to_vector(second))
    assert one == other


def test_agreed_ranges_are_given_back() -> None:
    *_, ranges, found = healed(learn=False)
    assert all(found[name] == pytest.approx(ends) for name, ends in ranges.items())
