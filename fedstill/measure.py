"""What can be measured once a federation is over: every model on every institution's held-out records, sizes, latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedstill.baselines import figures, load_splits
from fedstill.report.summary import ModelFigures
from fedstill.workspace import Workspace
from server.coordinator import RunResult
from shared.config import FederationConfig
from shared.data import Records, Split
from shared.heads import answers

if TYPE_CHECKING:
    from shared.models import Network

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Measured:
    """Figures by model, and how often the INT8 file and the float student predict the same class (fraction of records)."""

    figures: dict[str, ModelFigures]
    agreement: float


def measure_models(config: FederationConfig, workspace: Workspace, result: RunResult) -> Measured:
    """Scores teachers, the final student (in torch) and the artifact's INT8 file (in onnxruntime) on held-out records."""
    from shared.compress.latency import onnx_latency, torch_latency
    from shared.compress.verify import open_artifact
    from shared.models import count_parameters, load_model

    splits = load_splits(workspace.institutions)
    sample = next(iter(splits.values())).test.inputs[:1]
    student = load_model(result.student)
    artifact = open_artifact(result.artifact)
    content = (result.artifact / "model.onnx").read_bytes()
    floats = {name: _predicted(student, split.test) for name, split in splits.items()}
    ints = {name: answers(artifact.logits(split.test.inputs), split.test.labels, config.task.heads) for name, split in splits.items()}
    parameters = count_parameters(student)
    return Measured(
        figures={
            "teacher": _teachers(workspace, splits, sample),
            "fedstill": figures(
                _accuracy(floats, splits),
                splits,
                parameters=parameters,
                bytes=parameters * FLOAT_BYTES,
                latency_ms=1000 * torch_latency(student, sample),
            ),
            "int8": figures(
                _accuracy(ints, splits),
                splits,
                parameters=parameters,
                bytes=len(content),
                latency_ms=1000 * onnx_latency(content, sample),
            ),
        },
        agreement=float(np.mean(np.concatenate([floats[name] == ints[name] for name in splits]))),
    )


def _teachers(workspace: Workspace, splits: Mapping[str, Split], sample: NDArray[np.generic]) -> ModelFigures:
    from shared.compress.latency import torch_latency
    from shared.distill.teacher import load_teacher
    from shared.models import count_parameters

    teachers = {name: load_teacher(home / "teacher") for name, home in workspace.institutions.items()}
    predictions = {name: _predicted(teachers[name], split.test) for name, split in splits.items()}
    first = next(iter(teachers.values()))
    parameters = int(np.mean([count_parameters(teacher) for teacher in teachers.values()]))
    return figures(
        _accuracy(predictions, splits),
        splits,
        parameters=parameters,
        bytes=parameters * FLOAT_BYTES,
        latency_ms=1000 * torch_latency(first, sample),
    )


def _predicted(model: Network, records: Records) -> NDArray[np.int64]:
    from shared.models.network import predict_logits

    return answers(predict_logits(model, records.inputs), records.labels, model.task.heads)


def _accuracy(predictions: Mapping[str, NDArray[np.int64]], splits: Mapping[str, Split]) -> dict[str, float]:
    return {name: float(np.mean(predicted == splits[name].test.labels)) for name, predicted in predictions.items()}
