"""A published encoder is read whole or refused in a sentence: sizes that do not fit, weights that are cut, missing or another's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from shared.errors import CheckpointError, MissingFileError
from shared.models.pretrained import CONFIG, WEIGHTS, load_pretrained
from tests.support.berts import write_bert
from tests.support.texts import text_task

TASK = text_task()
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "bert"))


def configured(folder: Path, **changes: Any) -> Path:
    (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | changes))
    return folder


def reweighted(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(folder / WEIGHTS)).items()}, folder / WEIGHTS)
    return folder


def test_its_shape_is_that_of_its_configuration_and_its_head_is_new(folder: Path) -> None:
    state = torch.get_rng_state()
    model = load_pretrained(folder, TASK)
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.settings.width, model.settings.depth, model.settings.heads, model.settings.expansion) == (32, 4, 4, 2)
    assert model.get_parameter("head.weight").shape == (len(TASK.labels), 32)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize("prefix", ["bert.", "model."])
def test_the_name_that_a_whole_model_puts_before_its_encoder_is_left_out(folder: Path, prefix: str) -> None:
    plain = load_pretrained(folder, TASK).state_dict()
    renamed = load_pretrained(reweighted(folder, lambda found: {f"{prefix}{name}": tensor for name, tensor in found.items()}), TASK)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in renamed.state_dict().items())


def test_half_precision_is_read_as_what_it_says(folder: Path) -> None:
    plain = load_pretrained(folder, TASK).get_parameter("blocks.0.narrow.weight")
    halved = load_pretrained(reweighted(folder, lambda found: {name: tensor.half() for name, tensor in found.items()}), TASK)
    torch.testing.assert_close(halved.get_parameter("blocks.0.narrow.weight"), plain, rtol=1e-3, atol=1e-4)


def test_words_that_it_does_not_know_are_new_and_the_others_its_own(folder: Path) -> None:
    larger = load_pretrained(folder, TASK.model_copy(update={"vocabulary": TASK.vocabulary + 5})).get_parameter("embedding.words")
    assert len(larger) == TASK.vocabulary + 5
    assert torch.equal(larger[: TASK.vocabulary], load_pretrained(folder, TASK).get_parameter("embedding.words"))
    assert (larger[TASK.vocabulary :].abs().sum(dim=1) > 0).all()
    with pytest.raises(CheckpointError, match=r"words, task\.vocabulary is .*; raise it"):
        load_pretrained(folder, TASK.model_copy(update={"vocabulary": TASK.vocabulary - 1}))


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "tokenizer.json"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises((MissingFileError, CheckpointError), match=name):
        load_pretrained(folder, TASK)


@pytest.mark.parametrize("content", ["", "[]", "null", "3", "{", "\ufffd"])
def test_a_configuration_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / CONFIG).write_text(content)
    with pytest.raises(CheckpointError, match=r"is not JSON|is not a BERT or DistilBERT"):
        load_pretrained(folder, TASK)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "roberta"}, "not a BERT or DistilBERT"),
        ({"hidden_act": "gelu_new"}, "with exact GELU"),
        ({"hidden_act": None}, "with exact GELU"),
        ({"intermediate_size": 65}, "names sizes that no model here has"),
        ({"intermediate_size": 0}, "names sizes that no model here has"),
        ({"hidden_size": 0}, "names sizes that no model here has"),
        ({"hidden_size": "wide"}, "names sizes that no model here has"),
        ({"num_hidden_layers": 65}, "names sizes that no model here has"),
        ({"num_attention_heads": 5}, "names sizes that no model here has"),
        ({"num_attention_heads": 0}, "names sizes that no model here has"),
        ({"max_position_embeddings": 4}, r"takes 4 tokens; lower task\.max_tokens"),
        # The weights are those of another configuration.
        ({"num_hidden_layers": 5}, "is damaged, or not the model that"),
        ({"intermediate_size": 32}, "is damaged, or not the model that"),
        ({"hidden_size": 64}, "is damaged, or not the model that"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(configured(folder, **changes), TASK)


def test_a_layer_that_is_missing_is_refused_and_one_too_many_is_not_read(folder: Path) -> None:
    whole = load_pretrained(configured(folder, num_hidden_layers=3), TASK)
    assert whole.settings.depth == 3
    configured(folder, num_hidden_layers=4)
    reweighted(folder, lambda found: {name: tensor for name, tensor in found.items() if "layer.2.output.dense.weight" not in name})
    with pytest.raises(CheckpointError, match="is damaged, or not the model"):
        load_pretrained(folder, TASK)


@given(st.data())
def test_weights_that_were_cut_are_refused(published: Path, data: st.DataObject) -> None:
    copy = published.parent / "cut"
    shutil.copytree(published, copy, dirs_exist_ok=True)
    content = (published / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError, match="is damaged, or not the model"):
        load_pretrained(copy, TASK)
