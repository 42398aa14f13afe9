"""An ONNX graph is a teacher where its inputs and outputs fit, and refused in a sentence where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto

from shared.errors import CheckpointError
from shared.task import Head, Task
from shared.teachers import kind_of, open_teacher
from tests.support import heads as headed
from tests.support.graphs import WEIGHT, make_graph
from tests.support.networks import TABLE, records
from tests.support.teachers import IMAGE, TEXT, images, texts


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("softmax", [True, False])
def test_rows_are_answered_in_logits(tmp_path: Path, softmax: bool, batch: str | int) -> None:
    make_graph(tmp_path / "model.onnx", [batch, 4], softmax=softmax)
    found = records(TABLE, 5)
    found = type(found)(np.nan_to_num(found.inputs) / 50, found.labels)
    assert kind_of(tmp_path) == "onnx"
    teacher = open_teacher(tmp_path, TABLE)
    expected = torch.from_numpy(found.inputs @ WEIGHT[:4, :2])
    shown = teacher.show(found)
    torch.testing.assert_close(shown.logits.softmax(dim=1), expected.softmax(dim=1), rtol=1e-4, atol=1e-5)
    if not softmax:
        torch.testing.assert_close(shown.logits, expected, rtol=1e-4, atol=1e-4)
    assert (shown.hidden_states, shown.attentions, teacher.layers, teacher.longest(found)) == ((), (), 0, 0)
    assert teacher.parameters == 8


@pytest.mark.parametrize("side", [16, 8, "side"])
def test_images_are_prepared_for_a_float_make_graph(tmp_path: Path, side: Any) -> None:
    make_graph(tmp_path / "model.onnx", ["n", 3, side, side], 3)
    found = images()
    expected = torch.from_numpy(found.inputs / np.float32(255)).mean(dim=(1, 2)) @ torch.from_numpy(WEIGHT[:3, :3])
    torch.testing.assert_close(open_teacher(tmp_path, IMAGE).show(found).logits, expected, rtol=0.05, atol=0.02)


def test_tokens_come_with_their_mask(tmp_path: Path) -> None:
    make_graph(tmp_path / "model.onnx", ["n", 12], 3, kind=TensorProto.INT64, extra=("attention_mask", "token_type_ids"))
    found = texts()
    expected = (found.inputs + (found.inputs != 0)).astype(np.float32) @ WEIGHT[:, :3]
    torch.testing.assert_close(
        open_teacher(tmp_path / "model.onnx", TEXT).show(found).logits, torch.from_numpy(expected), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(
    ("task", "shape", "labels", "kind"),
    [
        (TABLE, ["n", 5], 2, TensorProto.FLOAT),
        (TABLE, ["n", 4], 3, TensorProto.FLOAT),
        (TABLE, ["n", 4], 2, TensorProto.INT64),
        (TABLE, ["n", 3, 8, 8], 2, TensorProto.FLOAT),
        (IMAGE, ["n", 4], 3, TensorProto.FLOAT),
        (IMAGE, ["n", 3, 8, 8], 2, TensorProto.FLOAT),
        (TEXT, ["n", 11], 3, TensorProto.INT64),
        (TEXT, ["n", 12, 2], 3, TensorProto.INT64),
    ],
)
def test_shapes_that_do_not_fit_are_refused_when_opened(tmp_path: Path, task: Task, shape: list[Any], labels: int, kind: int) -> None:
    make_graph(tmp_path / "model.onnx", shape, labels, kind=kind)
    with pytest.raises(CheckpointError, match="does not take this task's records"):
        open_teacher(tmp_path, task)


def test_a_graph_answers_the_labels_of_all_heads(tmp_path: Path) -> None:
    task = headed.TABLES.model_copy(
        update={"labels": headed.LABELS[:4], "heads": (Head(name="one", labels=("a", "b")), Head(name="two", labels=("c", "x")))}
    )
    make_graph(tmp_path / "model.onnx", ["n", 4], 4)
    assert open_teacher(tmp_path, task).show(records(TABLE, 3)).logits.shape == (3, 4)
    make_graph(tmp_path / "model.onnx", ["n", 4], 2)
    with pytest.raises(CheckpointError, match=r"does not give 4 labels \(of all 2 heads, one head's after the other's\)"):
        open_teacher(tmp_path, task)
