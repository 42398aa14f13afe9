"""Small Hugging Face models of each kind are teachers: their own features, labels in the task's order, padding that changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification, AutoModelForTokenClassification

from shared.data.records import Records
from shared.errors import CheckpointError, ConfigError, DataError, MissingFileError
from shared.teachers import kind_of, open_teacher
from shared.teachers.loading import placement
from tests.support.networks import TABLE
from tests.support.teachers import IMAGE, LABELS, PREPARED, READERS, SEERS, TEXT, images, make_reader, make_seer, places, read_by, texts


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_a_reader_shows_what_the_model_itself_says(tmp_path: Path, kind: str) -> None:
    teacher, records = open_teacher(tmp_path, read_by(make_reader(tmp_path, kind))), texts()
    assert kind_of(tmp_path) == "huggingface"
    assert teacher.layers == 2
    assert teacher.longest(records) == 11
    found = teacher.show(records, **places(teacher))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").eval()
    for place in range(len(records)):
        # Each text alone, without any padding.
        ids = torch.from_numpy(records.inputs[place : place + 1, : 1 + 2 * place]).long()
        with torch.no_grad():
            expected = model(input_ids=ids, output_hidden_states=True, output_attentions=True)
        length = ids.shape[1]
        torch.testing.assert_close(found.logits[place], expected.logits[0, [2, 1, 0]], rtol=1e-4, atol=1e-5)
        for one, other in zip(found.hidden_states, expected.hidden_states, strict=True):
            torch.testing.assert_close(one[place, :length], other[0], rtol=1e-4, atol=1e-5)
        for one, other in zip(found.attentions, expected.attentions, strict=True):
            torch.testing.assert_close(one[place, :, :length, :length], other[0], rtol=1e-4, atol=1e-5)
    assert found.mask is not None
    assert found.mask.sum(dim=1).tolist() == [1, 3, 5, 7, 9, 11]
    assert not found.logits.requires_grad


@pytest.mark.parametrize("kind", SEERS)
def test_a_seer_shows_each_block_and_its_attention(tmp_path: Path, kind: str) -> None:
    teacher, records = open_teacher(make_seer(tmp_path, kind), IMAGE), images()
    assert teacher.layers == (4 if kind == "convnext" else 2)
    found = teacher.show(records, **places(teacher))
    model = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    values = torch.from_numpy(records.inputs).permute(0, 3, 1, 2).float()
    values = torch.nn.functional.interpolate(values, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = model(pixel_values=(values / 255 - 0.5) / 0.5)
    torch.testing.assert_close(found.logits, expected.logits[:, [2, 1, 0]], rtol=1e-3, atol=1e-4)
    assert [len(state) for state in (*found.hidden_states, *found.attentions)] == [4] * (2 * teacher.layers + 1)
    assert all(state.dim() == 3 for state in found.hidden_states)
    for one, state in zip(found.attentions, found.hidden_states[1:], strict=True):
        assert one.shape[-1] == state.shape[1]
        total = one.sum(dim=-1) if kind == "vit" else one.square().sum(dim=-1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-4, atol=1e-4)


def test_only_what_is_wanted_is_shown(tmp_path: Path) -> None:
    teacher, records = open_teacher(tmp_path, read_by(make_reader(tmp_path))), texts()
    whole, part = teacher.show(records, **places(teacher)), teacher.show(records, hidden=(2,), attentions=(1,))
    assert torch.equal(part.hidden_states[0], whole.hidden_states[2])
    assert torch.equal(part.attentions[0], whole.attentions[0])
    assert teacher.show(records).hidden_states == ()
    assert teacher.show(records).mask is None


def test_with_the_tasks_tokeniser_the_students_tokens_are_read(tmp_path: Path) -> None:
    folder, records = make_reader(tmp_path), texts()
    task, tokens = read_by(folder), Records(records.inputs, records.labels)
    found = open_teacher(folder, task).show(tokens)
    torch.testing.assert_close(found.logits, open_teacher(folder, TEXT).show(records).logits)
    with pytest.raises(DataError, match="needs the texts"):
        open_teacher(folder, TEXT).show(tokens)
    with pytest.raises(CheckpointError, match="knows 40 tokens, the task has 50"):
        open_teacher(folder, task.model_copy(update={"vocabulary": 50}))


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_with_another_tokeniser_tokens_never_pair_even_where_they_are_equally_many(tmp_path: Path, kind: str) -> None:
    # The folder's tokeniser splits these texts exactly as the student's does; what is not known to be one is not taken for one.
    folder, records = make_reader(tmp_path, kind), texts()
    same, other = open_teacher(folder, read_by(folder)), open_teacher(folder, TEXT)
    wanted = places(same)
    together, apart = same.show(records, **wanted), other.show(records, **wanted)
    assert together.mask is not None
    assert (apart.mask, apart.attentions) == (None, ())
    torch.testing.assert_close(apart.logits, together.logits)
    real = together.mask.unsqueeze(-1)
    for mean, state in zip(apart.hidden_states, together.hidden_states, strict=True):
        torch.testing.assert_close(mean[:, 0], (state * real).sum(dim=1) / real.sum(dim=1))


def test_an_empty_text_and_a_long_one_are_read(tmp_path: Path) -> None:
    teacher = open_teacher(make_reader(tmp_path, "llama"), TEXT)
    records = Records(np.zeros((2, 12), np.int32), np.zeros(2, np.int64), np.array(["", "w3 " * 100]))
    assert teacher.longest(records) == TEXT.max_tokens
    assert teacher.show(records, hidden=(0,)).hidden_states[0].shape == (2, 1, 16)
    alone = records.take(np.array([0]))
    assert teacher.longest(alone) == 1
    assert torch.isfinite(teacher.show(alone).logits).all()


def test_other_weights_preparation_or_labels_have_another_digest(tmp_path: Path) -> None:
    folder = make_seer(tmp_path / "one")
    first = open_teacher(folder, IMAGE).digest
    assert open_teacher(make_seer(tmp_path / "same"), IMAGE).digest == first
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPARED, "image_mean": [0.4] * 3}))
    second = open_teacher(folder, IMAGE).digest
    assert open_teacher(make_seer(tmp_path / "other", "vit"), IMAGE).digest not in {first, second}
    assert open_teacher(folder, IMAGE.model_copy(update={"labels": LABELS[::-1]})).digest != second != first


def test_a_teacher_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    reader, seer = make_reader(tmp_path / "reader"), make_seer(tmp_path / "seer")
    with pytest.raises(CheckpointError, match="knows 3 labels, but the task has 2"):
        open_teacher(reader, TEXT.model_copy(update={"labels": ("ill", "well")}))
    with pytest.raises(CheckpointError, match="some of the task's labels"):
        open_teacher(reader, TEXT.model_copy(update={"labels": ("ill", "well", "healed")}))
    with pytest.raises(CheckpointError, match="not rows of a table"):
        open_teacher(reader, TABLE)
    (seer / "preprocessor_config.json").write_text(json.dumps({**PREPARED, "size": "large"}))
    with pytest.raises(CheckpointError, match="does not say how images are prepared"):
        open_teacher(seer, IMAGE)
    (seer / "preprocessor_config.json").unlink()
    with pytest.raises(MissingFileError, match="image preparation"):
        open_teacher(seer, IMAGE)


def test_an_encoder_without_a_head_is_no_teacher_yet(tmp_path: Path) -> None:
    make_reader(tmp_path)
    AutoModel.from_config(READERS["bert"]).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="--kind pretrained --base"):
        open_teacher(tmp_path, TEXT)


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_a_model_goes_where_and_as_what_it_is_asked(tmp_path: Path, precision: str) -> None:
    folder, records = make_reader(tmp_path, "bert"), texts()
    plain = open_teacher(folder, TEXT)
    placed = open_teacher(folder, TEXT, device="cpu", precision=precision)
    found, expected = (teacher.show(records, **places(teacher)) for teacher in (placed, plain))
    # What it says depends on its numbers, and what is kept of it must be made again; the same numbers elsewhere say the same.
    assert (placed.digest == plain.digest) == (precision != "bfloat16")
    if precision != "bfloat16":
        assert torch.equal(found.logits, expected.logits)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0.1, atol=0.05)
    assert found.logits.dtype == torch.float32


def test_the_setting_decides_over_a_gpu_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_reader(tmp_path, "bert")
    for there in (False, True):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert placement(folder, "cpu") == {"device_map": "cpu", "dtype": torch.float32}
        assert placement(folder, "spread", "float32") == {"device_map": "auto", "dtype": torch.float32}
    assert placement(folder)["dtype"] == torch.bfloat16
    monkeypatch.undo()
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device 'cuda' is not there"):
            open_teacher(folder, TEXT, device="cuda")


def test_a_large_model_is_spread_over_the_devices_in_half_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.teachers import loading

    folder, records = make_reader(tmp_path, "llama"), texts()
    small = open_teacher(folder, TEXT)
    expected = small.show(records, **places(small))
    monkeypatch.setattr(loading, "LARGE", 0)
    large = open_teacher(folder, TEXT)
    found = large.show(records, **places(large))
    assert large.digest != small.digest
    for one, other in zip((found.logits, *found.hidden_states), (expected.logits, *expected.hidden_states), strict=True):
        assert one.dtype == torch.float32
        assert str(one.device) == "cpu"
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.05)


def test_a_model_that_labels_every_word_is_no_teacher(tmp_path: Path) -> None:
    make_reader(tmp_path)
    AutoModelForTokenClassification.from_config(READERS["bert"]).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="one label a record"):
        open_teacher(tmp_path, TEXT)


def test_a_model_of_encoder_and_decoder_is_looked_at_where_it_reads(tmp_path: Path) -> None:
    teacher = open_teacher(tmp_path, read_by(make_reader(tmp_path, "bart")))
    # It answers at the end of the text, so its own tokeniser puts that there.
    rows = [[3, 1], [4, 5, 6, 1], [1], [7, 8, 1], [9, 1], [2, 3, 1]]
    tokens = np.array([row + [0] * (TEXT.max_tokens - len(row)) for row in rows], np.int32)
    found = teacher.show(Records(tokens, texts().labels), **places(teacher))
    assert teacher.layers == 2
    assert found.hidden_states[2].shape == (6, 4, 16)
    assert found.attentions[0].shape == (6, 2, 4, 4)
