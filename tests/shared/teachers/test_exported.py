"""An exported graph says what its module says, for batches of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import CheckpointError
from shared.teachers import kind_of, open_teacher
from tests.support.graphs import EXAMPLES, make_exported
from tests.support.heads import TABLES
from tests.support.networks import TABLE, records
from tests.support.teachers import IMAGE, images


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize(("free", "batch"), [(True, 2), (False, 3), (False, 1)])
def test_the_graph_says_what_the_module_says(tmp_path: Path, kind: str, free: bool, batch: int) -> None:
    module = make_exported(tmp_path / "model.pt2", kind, free=free, batch=batch)
    _, example, task, found = EXAMPLES[kind]
    assert kind_of(tmp_path) == "exported"
    teacher = open_teacher(tmp_path, task)
    inputs = torch.from_numpy(found.inputs)
    inputs = inputs.permute(0, 3, 1, 2) / 255 if kind == "image" else inputs.to(example.dtype)
    with torch.no_grad():
        expected = module(inputs)
    torch.testing.assert_close(teacher.show(found).logits, expected)
    torch.testing.assert_close(teacher.show(found.take(np.array([3]))).logits, expected[3:4])
    assert (teacher.layers, teacher.longest(found)) == (0, 0)
    assert teacher.parameters > 0
    assert open_teacher(tmp_path / "model.pt2", task).digest == teacher.digest


def test_a_graph_of_other_inputs_or_labels_is_refused(tmp_path: Path) -> None:
    make_exported(tmp_path / "model.pt2", "table")
    with pytest.raises(CheckpointError, match="does not take this task's records"):
        open_teacher(tmp_path, IMAGE).show(images())
    with pytest.raises(CheckpointError, match="does not give 3 labels"):
        open_teacher(tmp_path, TABLE.model_copy(update={"labels": ("a", "b", "c")})).show(records(TABLE, 3))
    with pytest.raises(CheckpointError, match=r"does not give 8 labels \(of all 3 heads"):
        open_teacher(tmp_path, TABLES).show(records(TABLE, 3))
