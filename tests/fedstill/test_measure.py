"""Every model is scored on every institution's own held-out records, and the figures are those that one counts by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from fedstill.measure import FLOAT_BYTES, Measured, measure_models
from fedstill.workspace import Workspace, prepare
from server.coordinator import RunResult
from shared.config import FederationConfig
from shared.data import Split
from shared.distill.teacher import save_teacher
from shared.heads import answers
from shared.models import count_parameters, save_model
from shared.models.network import predict_logits
from shared.task import Task
from tests.support import heads as headed
from tests.support.networks import LARGE, SMALL, TABLE, network, records

SIZES = {"ash": 10, "elm": 30}


def federation(folder: Path, task: Task) -> tuple[FederationConfig, Workspace, RunResult, dict[str, Split]]:
    config = FederationConfig(name="measured", task=task, student=SMALL, teacher=LARGE)
    make = headed.records if task.heads else records
    splits = {name: Split(make(task, count=20), make(task, count=count, seed=count)) for name, count in SIZES.items()}
    workspace = prepare(config, folder, splits)
    for seed, home in enumerate(workspace.institutions.values()):
        save_teacher(home / "teacher", network(task, LARGE, seed=seed))
    save_model(folder / "student.safetensors", network(task, seed=5))
    (folder / "artifact").mkdir()
    (folder / "artifact" / "model.onnx").write_bytes(b"x" * 1234)
    return config, workspace, RunResult("run", folder, folder / "student.safetensors", folder / "artifact", ()), splits


@pytest.fixture(params=[TABLE, headed.TABLES], ids=["plain", "heads"])
def measured(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Measured, Task, dict[str, Split]]]:
    """An artifact that says the opposite of the student; latencies of 2 and 3 ms."""
    config, workspace, result, splits = federation(tmp_path, request.param)
    student = network(request.param, seed=5)

    def opposite(inputs: NDArray[Any]) -> NDArray[np.float32]:
        return -predict_logits(student, inputs)

    with (
        patch("shared.compress.verify.open_artifact", return_value=SimpleNamespace(logits=opposite)),
        patch("shared.compress.latency.torch_latency", return_value=0.002),
        patch("shared.compress.latency.onnx_latency", return_value=0.003),
    ):
        yield measure_models(config, workspace, result), request.param, splits


def right(logits: NDArray[np.float32], split: Split, task: Task) -> float:
    return float((answers(logits, split.test.labels, task.heads) == split.test.labels).mean())


def test_each_model_is_scored_within_heads_at_each_institution(measured: tuple[Measured, Task, dict[str, Split]]) -> None:
    found, task, splits = measured
    student = network(task, seed=5)
    for seed, (name, split) in enumerate(splits.items()):
        logits = predict_logits(student, split.test.inputs)
        teacher = predict_logits(network(task, LARGE, seed=seed), split.test.inputs)
        assert found.figures["fedstill"].accuracy[name] == pytest.approx(right(logits, split, task))
        assert found.figures["int8"].accuracy[name] == pytest.approx(right(-logits, split, task))
        assert found.figures["teacher"].accuracy[name] == pytest.approx(right(teacher, split, task))
    fedstill = found.figures["fedstill"]
    assert fedstill.overall == pytest.approx(sum(fedstill.accuracy[name] * size for name, size in SIZES.items()) / 40)


def test_sizes_and_latencies_are_told_in_bytes_and_milliseconds(measured: tuple[Measured, Task, dict[str, Split]]) -> None:
    found, task, _ = measured
    parameters = count_parameters(network(task, seed=5))
    student, int8, teacher = (found.figures[name] for name in ("fedstill", "int8", "teacher"))
    assert (student.parameters, student.bytes, student.latency_ms) == (parameters, FLOAT_BYTES * parameters, 2.0)
    assert (int8.parameters, int8.bytes, int8.latency_ms) == (parameters, 1234, 3.0)
    assert teacher.parameters == count_parameters(network(task, LARGE))


def test_agreement_is_over_records_and_not_over_institutions(measured: tuple[Measured, Task, dict[str, Split]]) -> None:
    found, task, splits = measured
    student = network(task, seed=5)
    same = []
    for split in splits.values():
        logits = predict_logits(student, split.test.inputs)
        same.append(answers(logits, split.test.labels, task.heads) == answers(-logits, split.test.labels, task.heads))
    assert found.agreement == pytest.approx(np.concatenate(same).mean())
