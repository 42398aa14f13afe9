"""The plain twin: the same normalisation as the masked statistics, the same student however the institutions are listed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fedstill.baselines import load_splits, pool
from fedstill.plain import pooled_normalisation, train_plainly
from fedstill.workspace import Workspace, prepare
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Records, Split
from shared.distill import evaluate
from shared.models import to_vector
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.sources import ArrayData
from shared.task import NumericColumn, TabularTask

TASK = TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(name="age"), NumericColumn(name="dose")))
CONFIG = FederationConfig(
    name="plain",
    rounds=4,
    task=TASK,
    teacher=NetworkSettings(width=8, depth=1, heads=2),
    student=NetworkSettings(width=8, depth=1, heads=2),
    training=TrainingSettings(epochs=4, learning_rate=1e-2),
    distillation=DistillationSettings(teacher="none"),
)


def records(rng: np.random.Generator, count: int) -> Records:
    inputs = rng.normal((60, 5), (15, 2), (count, 2)).astype(np.float32)
    return Records(inputs, (inputs[:, 0] + 5 * inputs[:, 1] > 85).astype(np.int64))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    rng = np.random.default_rng(1)
    sites = {name: Split(records(rng, 60), records(rng, 40)) for name in ("ash", "elm", "fir")}
    threads = torch.get_num_threads()
    yield prepare(CONFIG, tmp_path_factory.mktemp("plain"), sites)
    torch.set_num_threads(threads)


def test_the_normalisation_is_that_of_all_records_together(workspace: Workspace) -> None:
    together = pool([split.train for split in load_splits(workspace.institutions).values()])
    found = pooled_normalisation(CONFIG, workspace.institutions)
    assert found.means == pytest.approx(together.inputs.mean(axis=0, dtype=np.float64), rel=1e-5)
    assert found.deviations == pytest.approx(together.inputs.std(axis=0, dtype=np.float64), rel=1e-4)


def test_the_student_learns_and_does_not_depend_on_the_order_of_institutions(workspace: Workspace) -> None:
    student = train_plainly(CONFIG, workspace.institutions)
    backwards: dict[str, Path] = dict(reversed(workspace.institutions.items()))
    assert np.allclose(to_vector(train_plainly(CONFIG, backwards)), to_vector(student), atol=1e-5)
    held_out = pool([split.test for split in load_splits(workspace.institutions).values()])
    assert evaluate(student, held_out, 2).accuracy > 0.8


def test_a_workspace_made_again_changes_nothing(workspace: Workspace) -> None:
    files = {path: path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()}
    prepare(CONFIG, workspace.folder, load_splits(workspace.institutions))
    assert {path: path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()} == files
    assert all((home / "keys" / "identity.key").stat().st_mode & 0o077 == 0 for home in workspace.institutions.values())


def test_a_workspace_can_be_moved(workspace: Workspace, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(workspace.folder, moved)
    config = load_config(InstitutionConfig, moved / "institutions" / "ash" / "institution.toml")
    assert isinstance(config.data, ArrayData)
    assert config.data.path == moved / "institutions" / "ash" / "records.npz"
    assert config.teacher_path == moved / "institutions" / "ash" / "teacher"


def test_institutions_with_other_students_average_the_federation_s(workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(workspace.folder, tmp_path / "copy")
    homes = {name: tmp_path / "copy" / home.relative_to(workspace.folder) for name, home in workspace.institutions.items()}
    own = homes["elm"] / "institution.toml"
    own.write_text(own.read_text().replace("width = 8", "width = 16"))
    assert load_config(InstitutionConfig, own).student.width == 16
    assert to_vector(train_plainly(CONFIG, homes)).tobytes() == to_vector(train_plainly(CONFIG, workspace.institutions)).tobytes()
