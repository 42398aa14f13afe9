from __future__ import annotations

import numpy as np
import pytest
import torch

from fedstill.compressing.lessons import WATCHED, Lessons, Parts, parts_of, teacher_of
from fedstill.compressing.steps import Steps
from fedstill.plan import builtin_federation
from shared.data.records import UNLABELLED, Records, Split
from shared.errors import DataError
from shared.models.network import predict_logits
from tests.support.networks import TABLE, network, records


def lessons(tmp_path, student):
    config = builtin_federation("heart").model_copy(update={"task": TABLE})
    parts = Parts(records(count=60), records(count=20, seed=1), records(count=20, seed=2))
    return Lessons(tmp_path, Steps(tmp_path), parts, config, teacher_of(None, student), seed=3)


def test_what_judges_cuts_is_neither_learnt_from_nor_counted_by_the_gate():
    inputs = np.arange(100, dtype=np.float32)[:, None]
    split = Split(Records(inputs[:50], np.zeros(50, np.int64)), Records(inputs[50:], np.zeros(50, np.int64)))
    parts = parts_of(split, seed=4)
    seen = [set(part.inputs.ravel().tolist()) for part in (parts.learn, parts.watch, parts.test)]
    assert set.union(*seen) == set(range(100))
    assert sum(map(len, seen)) == 100
    assert len(parts.watch) == int(WATCHED * 50)
    assert (parts_of(split, seed=4).watch.inputs == parts.watch.inputs).all()


def test_records_without_a_label_judge_nothing():
    labels = np.array([0, UNLABELLED] * 10)
    split = Split(records(count=20), Records(np.zeros((20, 4), np.float32), labels))
    parts = parts_of(split, seed=1)
    assert UNLABELLED not in {*parts.watch.labels.tolist(), *parts.test.labels.tolist()}


@pytest.mark.parametrize("held_out", [0, 1, 2])
def test_too_few_records_are_said(held_out):
    with pytest.raises(DataError, match=f"{held_out} held out are too few"):
        parts_of(Split(records(count=20), records(count=20).take(np.arange(held_out))), seed=1)


def test_healing_leaves_the_given_student_and_brings_the_copy_near_the_teacher(tmp_path):
    student = network()
    given = lessons(tmp_path, student)
    hurt = network(seed=5)
    before = {name: value.clone() for name, value in hurt.state_dict().items()}
    healed = given.heal(hurt, 12, "a cut")
    assert all(torch.equal(value, before[name]) for name, value in hurt.state_dict().items())

    def distance(model):
        wanted, found = (predict_logits(one, given.parts.watch.inputs) for one in (student, model))
        return float(np.abs(wanted - found).mean())

    assert distance(healed) < distance(hurt)


def test_equal_purposes_heal_alike(tmp_path):
    given = lessons(tmp_path, network())
    first, again, other = (given.heal(network(seed=5), 1, purpose).state_dict() for purpose in ("a", "a", "b"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_no_epochs_change_nothing(tmp_path):
    student = network()
    healed = lessons(tmp_path, student).heal(student, 0, "nothing")
    assert all(torch.equal(value, student.state_dict()[name]) for name, value in healed.state_dict().items())
