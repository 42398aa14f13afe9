"""An exported graph says what its module says, for batches of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.data.records import Records
from shared.errors import CheckpointError
from shared.task import Task
from shared.teachers import kind_of, open_teacher
from tests.shared.teachers.test_huggingface import IMAGE, TEXT, images, texts
from tests.support.networks import TABLE, records


class Rows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(torch.nan_to_num(values))


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(40, 4), nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layer(self.words(tokens).mean(dim=1))


EXAMPLES: dict[str, tuple[type[nn.Module], Tensor, Task, Records]] = {
    "table": (Rows, torch.zeros(2, 4), TABLE, records(TABLE, 7)),
    "image": (Pictures, torch.zeros(2, 3, 16, 16), IMAGE, images(7)),
    "text": (Tokens, torch.ones(2, 12, dtype=torch.int64), TEXT, texts(7)),
}


def make(path: Path, kind: str, *, free: bool = True, batch: int = 2) -> nn.Module:
    torch.manual_seed(0)
    module, example = EXAMPLES[kind][0]().eval(), EXAMPLES[kind][1][:1].expand(batch, *EXAMPLES[kind][1].shape[1:]).clone()
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},) if free else None)
    torch.export.save(program, path)
    return module


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize(("free", "batch"), [(True, 2), (False, 3), (False, 1)])
def test_the_graph_says_what_the_module_says(tmp_path: Path, kind: str, free: bool, batch: int) -> None:
    module = make(tmp_path / "model.pt2", kind, free=free, batch=batch)
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
    make(tmp_path / "model.pt2", "table")
    with pytest.raises(CheckpointError, match="does not take this task's records"):
        open_teacher(tmp_path, IMAGE).show(images())
    with pytest.raises(CheckpointError, match="does not give 3 labels"):
        open_teacher(tmp_path, TABLE.model_copy(update={"labels": ("a", "b", "c")})).show(records(TABLE, 3))
