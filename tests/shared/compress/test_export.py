from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from shared.compress import runtime
from shared.compress.export import example_inputs, export_float
from shared.errors import ArtifactError
from shared.settings import NetworkSettings
from shared.task import NumericColumn, TabularTask
from tests.support.networks import IMAGES, network

TINY = TabularTask(family="tabular", label="y", labels=("a", "b"), columns=(NumericColumn(name="x"), NumericColumn(name="z")))


class Tiny(nn.Module):
    """Fills missing values with a constant that hides from the structure's digest, in a plain object."""

    def __init__(self, filler: float = 0.0) -> None:
        super().__init__()
        self.hidden = type("Hidden", (), {"filler": filler})()
        self.linear = nn.Linear(2, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.nan_to_num(inputs, nan=self.hidden.filler))


class Branching(Tiny):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs) if float(inputs.sum()) > 0 else -self.linear(inputs)


def test_table_graph_computes_what_torch_computes(table_net, table_onnx, table_rows):
    with torch.no_grad():
        expected = table_net(torch.from_numpy(table_rows)).numpy()
    found = runtime.logits(runtime.session(table_onnx), table_rows)
    assert np.isnan(table_rows).any()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_image_graph_computes_what_torch_computes(image_net, image_onnx, images):
    with torch.no_grad():
        expected = image_net(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(runtime.logits(runtime.session(image_onnx), images), expected, atol=1e-4)


def test_batch_is_dynamic(image_onnx, images):
    loaded = runtime.session(image_onnx)
    whole = runtime.logits(loaded, images[:7])
    np.testing.assert_allclose(np.concatenate([runtime.logits(loaded, images[i : i + 1]) for i in range(7)]), whole, atol=1e-5)


def test_form_of_the_graph(table_onnx, image_onnx):
    for content, kind in ((table_onnx, onnx.TensorProto.FLOAT), (image_onnx, onnx.TensorProto.UINT8)):
        model = onnx.load_model_from_string(content)
        assert [value.name for value in model.graph.input] == ["inputs"]
        assert [value.name for value in model.graph.output] == ["logits"]
        assert model.graph.input[0].type.tensor_type.elem_type == kind
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 21)]


def test_weights_are_folded_and_gains_too(image_onnx):
    operators = [node.op_type for node in onnx.load_model_from_string(image_onnx).graph.node]
    assert operators.count("Conv") == 3
    assert "Mul" not in operators


def test_nothing_of_this_machine_is_inside(table_onnx, image_onnx):
    for content in (table_onnx, image_onnx):
        for trace in (b"site-packages", b"conftest", b"forward", b"pytorch", str(Path.cwd()).encode()):
            assert trace not in content


def test_the_same_student_costs_nothing_the_second_time(table_net, table_task, table_onnx):
    assert export_float(table_net, table_task) is table_onnx


def test_equal_structure_with_other_weights_is_filled_in(table_net, table_task, table_onnx, table_rows):
    other = copy.deepcopy(table_net)
    with torch.no_grad():
        other.head.weight *= -2.0
    content = export_float(other, table_task)
    assert content != table_onnx
    assert len(content) == len(table_onnx)
    with torch.no_grad():
        expected = other(torch.from_numpy(table_rows)).numpy()
    np.testing.assert_allclose(runtime.logits(runtime.session(content), table_rows), expected, atol=1e-4)


def test_training_mode_is_given_back(table_net, table_task):
    table_net.train()
    export_float(table_net, table_task)
    assert table_net.training
    table_net.eval()


@pytest.mark.parametrize("step", [1.0, 0.0])
def test_a_constant_hidden_from_the_digest_is_noticed(step):
    first, second = Tiny(0.0).eval(), Tiny(5.0).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        second.linear.weight += step
    export_float(first, TINY)
    rows = np.array([[np.nan, 1.0]], np.float32)
    with torch.no_grad():
        expected = second(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(runtime.logits(runtime.session(export_float(second, TINY, rows)), rows), expected, atol=1e-5)


def test_a_student_that_cannot_be_traced_is_an_artifact_error():
    with pytest.raises(ArtifactError, match="cannot be exported"):
        export_float(Branching().eval(), TINY)


def test_a_student_without_finite_answers_is_refused():
    with pytest.raises(ArtifactError, match="not finite"):
        export_float(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), TINY, np.full((1, 2), np.nan, np.float32))


def test_export_says_nothing(capfd):
    export_float(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), TINY, np.ones((2, 2), np.float32))
    assert capfd.readouterr() == ("", "")


def test_example_inputs_fit_the_task(table_task, image_task):
    rows = example_inputs(table_task, 50)
    assert rows.shape == (50, 3)
    assert rows.dtype == np.float32
    assert np.isnan(rows).any()
    known = rows[~np.isnan(rows[:, 2]), 2]
    assert set(known) <= {0.0, 1.0, 2.0}
    assert example_inputs(image_task, 5).shape == (5, 8, 8, 1)


SCRIPT = """
import hashlib, numpy as np, torch
from torch import nn
from shared.compress.export import export_float
from shared.settings import NetworkSettings
from shared.task import NumericColumn, TabularTask
from tests.support.networks import IMAGES, network

columns = (NumericColumn(name="x"), NumericColumn(name="z"))
task = TabularTask(family="tabular", label="y", labels=("a", "b"), columns=columns)
torch.manual_seed(1)
net = nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2))
print(hashlib.sha256(export_float(net, task, np.ones((2, 2), np.float32))).hexdigest())
"""


def test_bytes_are_equal_in_another_process():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2))
    here = export_float(net, TINY, np.ones((2, 2), np.float32))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "99"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_a_transformer_over_patches_is_a_graph_too(images):
    settings = NetworkSettings(width=8, depth=1, heads=2, architecture="transformer", patch=4)
    model = network(IMAGES, settings)
    found = runtime.logits(runtime.session(export_float(model, IMAGES, images)), images)
    with torch.no_grad():
        np.testing.assert_allclose(found, model(torch.from_numpy(images)).numpy(), atol=1e-4)
