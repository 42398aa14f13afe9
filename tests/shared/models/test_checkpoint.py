"""A checkpoint says what it is, is equal for equal models, and is refused if anything about it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from shared.errors import CheckpointError, MissingFileError
from shared.models import load_model, predict, save_model
from shared.models.checkpoint import card_of, model_bytes
from shared.task import Task
from tests.support.networks import IMAGES, LARGE, TABLE, inputs, network
from tests.support.shapes import PRUNED


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_round_trip(tmp_path: Path, task: Task) -> None:
    model = network(task, LARGE)
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert card_of(loaded) == card_of(model)
    assert not loaded.training
    assert (predict(loaded, inputs(task, 30)) == predict(model, inputs(task, 30))).all()


@pytest.mark.parametrize("name", PRUNED)
def test_a_pruned_shape_comes_back(tmp_path: Path, name: str) -> None:
    task, settings = PRUNED[name]
    save_model(tmp_path / "model.safetensors", network(task, settings))
    assert load_model(tmp_path / "model.safetensors").settings == settings


def test_a_file_of_before_pruned_shapes_is_still_read(tmp_path: Path) -> None:
    model = network()
    card = json.loads(card_of(model).canonical())
    for name in ("inner", "head_width", "block_heads", "stage_blocks", "convolution", "activation"):
        del card["network"][name]
    tensors = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
    (tmp_path / "model.safetensors").write_bytes(save(tensors, {"fedstill": json.dumps(card)}))
    assert card_of(load_model(tmp_path / "model.safetensors")) == card_of(model)


def test_equal_models_give_equal_bytes() -> None:
    assert model_bytes(network(seed=3)) == model_bytes(network(seed=3))
    assert model_bytes(network(seed=3)) != model_bytes(network(seed=4))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.safetensors"):
        load_model(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("cut", [0, 4, 100, 5000, -1])
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "model.safetensors").write_bytes(model_bytes(network())[:cut])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "model.safetensors")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(save({"weight": torch.ones(2)}))
    with pytest.raises(CheckpointError, match="says nothing of its model"):
        load_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize("fault", ["missing", "shape", "nan", "extra"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, fault: str) -> None:
    model = network()
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    match fault:
        case "missing":
            del tensors["head.weight"]
        case "shape":
            tensors["head.weight"] = torch.ones(3, 3)
        case "nan":
            tensors["head.weight"][0, 0] = torch.nan
        case "extra":
            tensors["more"] = torch.ones(1)
    (tmp_path / "model.safetensors").write_bytes(save(tensors, {"fedstill": card_of(model).canonical().decode()}))
    with pytest.raises(CheckpointError, match="NaN" if fault == "nan" else "do not fit"):
        load_model(tmp_path / "model.safetensors")
