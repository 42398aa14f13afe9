"""Institutions that each have records of one head only do every kind of work, and count within their head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from client.training import Workbench
from shared.compress.calibrate import calibrated_tensors
from shared.compress.export import export_float
from shared.config import InstitutionConfig
from shared.data import Records, Split, save_arrays
from shared.distill.teacher import save_teacher
from shared.heads import answers, heads_of
from shared.models import to_vector
from shared.models.network import predict_logits
from shared.models.outputs import output_ranges
from shared.settings import DistillationSettings, TaskWeighting, TrainingSettings
from shared.sources import ArrayData
from shared.task import Task, numeric_inputs
from shared.work import CalibrateRangeWork, GateWork, StatisticsMomentsWork, TrainWork, Work, counter_fields, field_slices
from tests.support.heads import HEADS, PICTURES, TABLES
from tests.support.heads import records as headed
from tests.support.networks import LARGE, SMALL, network, normalisation


def named(work: Work, task: Task, counters: NDArray[np.int64]) -> Mapping[str, NDArray[np.int64]]:
    return {name: counters[place] for name, place in field_slices(counter_fields(work, task))}


def student_blob(task: Task) -> bytes:
    return save({"vector": to_vector(network(task))})


def plant(folder: Path, task: Task, only: int) -> Workbench:
    """An institution that has records of one head only."""
    save_arrays(folder / "records.npz", Split(headed(task, only, seed=1), headed(task, only, count=20, seed=2)))
    save_teacher(folder / "teacher", network(task, LARGE, seed=9))
    data = ArrayData(source="arrays", path=folder / "records.npz")
    return Workbench(InstitutionConfig(name=f"plant-{only}", task=task, data=data, student=SMALL), folder)


@pytest.mark.parametrize("task", [TABLES, PICTURES])
@pytest.mark.parametrize("weighting", ["fixed", "uncertainty", "speed"])
def test_institutions_of_one_head_each_count_within_it(tmp_path: Path, task: Task, weighting: TaskWeighting) -> None:
    own = heads_of(HEADS)
    work = TrainWork(
        version=0,
        seed=7,
        normalisation=normalisation(task),
        training=TrainingSettings(epochs=2, batch_size=16),
        distillation=DistillationSettings(task_weighting=weighting, label_correction=1.0),
        label_shares=(1 / 8,) * 8,
    )
    for only in range(3):
        found = plant(tmp_path / str(only), task, only).perform(work, student_blob(task), 1)
        assert found.update is not None
        assert np.isfinite(found.update).all()
        confusion = named(work, task, found.counters)["eval_confusion"].reshape(8, 8)
        assert confusion.sum() == confusion[np.ix_(own == only, own == only)].sum() == 20
        assert named(work, task, found.counters)["head_weights"].tolist() == [48 * (head == only) for head in range(3)]
        for head, ranges in enumerate(output_ranges(network(task))):
            assert all(found.update[start:stop].any() == (head == only) for start, stop in ranges)


@pytest.mark.parametrize("task", [TABLES, PICTURES])
def test_statistics_calibration_and_gate_need_no_other_head(tmp_path: Path, task: Task) -> None:
    graph, one = export_float(network(task), task), plant(tmp_path / "a", task, 1)
    tensors = calibrated_tensors(graph)[:2]
    moments = StatisticsMomentsWork(exponents=(8,) * numeric_inputs(task))
    for work in (moments, CalibrateRangeWork(normalisation=normalisation(task), tensors=tensors)):
        assert named(work, task, one.perform(work, student_blob(task), 1).counters)
    file = np.frombuffer(graph, np.uint8)
    gate = GateWork(candidates=("u8u8",))
    found = named(gate, task, one.perform(gate, save({"float": file, "u8u8": file}), 2).counters)
    inputs = headed(task, 1, count=20, seed=2)
    right = (answers(predict_logits(network(task), inputs.inputs), inputs.labels, HEADS) == inputs.labels).sum()
    assert found["gate_agree"].tolist() == [20]
    assert found["gate_right"].tolist() == found["gate_float_right"].tolist() == [right]


def test_records_without_a_label_learn_within_the_head_that_the_institution_names(tmp_path: Path) -> None:
    mixed = headed(TABLES, seed=1)
    hidden = Records(mixed.inputs, np.where(np.arange(48) % 2 == 0, -1, mixed.labels))
    save_arrays(tmp_path / "records.npz", Split(hidden, headed(TABLES, count=20, seed=2)))
    save_teacher(tmp_path / "teacher", network(TABLES, LARGE, seed=9))
    data = ArrayData(source="arrays", path=tmp_path / "records.npz", unlabelled=True)
    work = TrainWork(
        version=0, seed=7, normalisation=normalisation(TABLES), training=TrainingSettings(epochs=1), distillation=DistillationSettings()
    )
    updates = {}
    for name in (None, "abc", "xy"):
        config = InstitutionConfig(name="plant", task=TABLES, data=data, student=SMALL, head=name)
        found = Workbench(config, tmp_path).perform(work, student_blob(TABLES), 1)
        assert found.update is not None
        updates[name] = found.update.tobytes()
    assert len(set(updates.values())) == 3
