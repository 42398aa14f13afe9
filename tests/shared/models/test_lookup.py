"""What a public graph knows of categories, inside a student and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from shared.compress import runtime
from shared.compress.calibrate import calibrated_tensors, choose_ranges, clip_ranges, histogram_counts, range_counts
from shared.compress.export import export_float
from shared.compress.quantise import quantise
from shared.entity_table import entity_table
from shared.errors import ConfigError
from shared.models import Network, build, load_model, load_vector, save_model, to_vector
from shared.models.lookup import EntityLookup
from shared.settings import NetworkSettings
from shared.task import CategoricalColumn, TabularTask
from shared.work import Normalisation
from tests.support.networks import IMAGES, SMALL, TABLE, inputs, network, normalisation

VECTORS = np.random.default_rng(3).normal(size=(3, 5))
KIND = entity_table("kind", VECTORS)
TABLES = Normalisation(**{**normalisation(TABLE).model_dump(), "tables": (KIND,)})
CLOSED = [column for column in TABLE.columns if isinstance(column, CategoricalColumn)]
SHAPES = [SMALL, NetworkSettings(width=8, depth=1, architecture="perceptron")]
NOTHING = [0.0] * 5


def student(shape: NetworkSettings, *, moved: bool = True) -> Network:
    made = build(shape, TABLE, TABLES, seed=1)
    if moved:
        load_vector(made, to_vector(made) + np.random.default_rng(0).normal(0, 0.1, to_vector(made).size).astype(np.float32))
    return made


def test_a_category_is_its_row_and_what_is_not_known_is_nothing() -> None:
    found = EntityLookup(CLOSED, [KIND])(torch.tensor([[0.0, 1.0], [2.0, 0.0], [float("nan"), 0.0], [3.0, 7.0], [-1.0, float("inf")]]))
    rows, steps = KIND.numbers()
    np.testing.assert_allclose(found[:2, 0], (rows * steps[:, None])[[0, 2]], rtol=1e-6)
    assert found[2:, 0].tolist() == [NOTHING] * 3
    assert found[:, 1].tolist() == [NOTHING] * 5, "there is no table of this column"


@pytest.mark.parametrize("shape", SHAPES, ids=["transformer", "perceptron"])
def test_a_student_begins_as_the_one_without_and_learns_from_the_table(shape: NetworkSettings) -> None:
    rows = torch.from_numpy(inputs(TABLE, 20))
    plain, own = network(settings=shape), student(shape, moved=False)
    torch.testing.assert_close(own(rows), plain(rows))
    own(rows).square().sum().backward()  # type: ignore[no-untyped-call]
    lift = next(part for name, part in own.named_parameters() if name.endswith("lift.weight"))
    assert lift.grad is not None
    assert lift.grad.abs().max() > 0
    assert to_vector(own).size == to_vector(plain).size + lift.numel(), "the table itself is not learnt"


@pytest.mark.parametrize("shape", SHAPES, ids=["transformer", "perceptron"])
def test_the_file_holds_the_table_in_8_bits_and_answers_as_the_student(shape: NetworkSettings) -> None:
    made, rows = student(shape), inputs(TABLE, 50, seed=1)
    content = export_float(made, TABLE, rows)
    tensors = calibrated_tensors(content)
    lows, highs = choose_ranges(tensors, range_counts(content, tensors, rows))
    ranges = clip_ranges(tensors, lows, highs, histogram_counts(content, tensors, lows, highs, rows))
    small = quantise(content, ranges, "u8s8-7bit")
    own = np.concatenate([KIND.numbers()[0], np.zeros((1, 5), np.int8)])
    for one in content, small:
        held = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_model_from_string(one).graph.initializer]
        assert any(tensor.dtype == np.int8 and tensor.shape == own.shape and (tensor == own).all() for tensor in held)
    exact, rounded = (runtime.logits(runtime.session(one), rows) for one in (content, small))
    assert np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("shape", SHAPES, ids=["transformer", "perceptron"])
def test_a_checkpoint_carries_it(tmp_path: Path, shape: NetworkSettings) -> None:
    made, rows = student(shape), torch.from_numpy(inputs(TABLE, 9))
    save_model(tmp_path / "m", made)
    again = load_model(tmp_path / "m")
    assert again.normalisation == TABLES
    torch.testing.assert_close(again(rows), made(rows), rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=["transformer", "perceptron"])
def test_a_table_of_another_task_is_refused(shape: NetworkSettings) -> None:
    def made(*tables: object, task: TabularTask = TABLE) -> Network:
        return build(shape, task, Normalisation.model_validate({**normalisation(TABLE).model_dump(), "tables": tables}), seed=0)

    for wrong in (entity_table("kind", VECTORS[:2]), entity_table("dose", VECTORS), entity_table("nobody", VECTORS)):
        with pytest.raises(ConfigError, match="not those of a categorical column of the task"):
            made(wrong)
    with pytest.raises(ConfigError, match="comes twice, or tables differ in width"):
        made(KIND, KIND)
    with pytest.raises(ConfigError, match="comes twice, or tables differ in width"):
        made(KIND, entity_table("side", VECTORS[:2, :3]))


def test_tables_are_of_tables_alone() -> None:
    with pytest.raises(ConfigError, match="the task is of family 'image'"):
        build(SMALL, IMAGES, Normalisation(means=(0.0,), deviations=(1.0,), tables=(KIND,)), seed=0)
