"""What fedstill's student is compared with: figures that weigh every record once, and units that any process computes alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fedstill.baselines import bare_figures, federated_figures, figures, load_splits, local_figures, pool, pooled_figures
from fedstill.report.summary import ModelFigures
from fedstill.teachers import fit_institution
from fedstill.workspace import Workspace, prepare
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Records, Split
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import NumericColumn, TabularTask
from tests.shared.knowledge.test_student_table import config as gout

CONFIG = FederationConfig(
    name="compared",
    rounds=2,
    task=TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(name="age"), NumericColumn(name="dose"))),
    teacher=NetworkSettings(width=8, depth=1, heads=2),
    student=NetworkSettings(width=8, depth=1, heads=2),
    teacher_training=TrainingSettings(epochs=6, learning_rate=1e-2),
    training=TrainingSettings(epochs=6, learning_rate=1e-2),
)
SIZES = {"ash": 30, "elm": 60, "fir": 10}
"""Held-out records."""


def records(rng: np.random.Generator, count: int) -> Records:
    inputs = rng.normal((60, 5), (15, 2), (count, 2)).astype(np.float32)
    return Records(inputs, (inputs[:, 0] + 5 * inputs[:, 1] > 85).astype(np.int64))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    rng, threads = np.random.default_rng(1), torch.get_num_threads()
    made = prepare(
        CONFIG, tmp_path_factory.mktemp("compared"), {name: Split(records(rng, 60), records(rng, n)) for name, n in SIZES.items()}
    )
    for home in made.institutions.values():
        fit_institution(load_config(InstitutionConfig, home / "institution.toml"), home, CONFIG)
    torch.set_num_threads(threads)
    return made


def test_overall_counts_records_and_the_mean_counts_institutions(workspace: Workspace) -> None:
    found = figures({"ash": 0.5, "elm": 1.0, "fir": 0.0}, load_splits(workspace.institutions), parameters=9)
    assert found.overall == pytest.approx((0.5 * 30 + 1.0 * 60) / 100)
    assert found.mean == pytest.approx(0.5)
    assert (found.parameters, found.bytes) == (9, None)


def test_the_pool_is_all_records_in_order(workspace: Workspace) -> None:
    parts = [split.train for split in load_splits(workspace.institutions).values()]
    together = pool(parts)
    assert len(together) == 180
    np.testing.assert_array_equal(together.inputs, np.concatenate([part.inputs for part in parts]))
    np.testing.assert_array_equal(together.labels, np.concatenate([part.labels for part in parts]))


@pytest.mark.parametrize("unit", [local_figures, pooled_figures, federated_figures])
def test_each_unit_gives_the_same_figures_again_and_learns(workspace: Workspace, unit: object) -> None:
    assert callable(unit)
    federation, homes = CONFIG.model_dump_json(), dict[str, Path](workspace.institutions)
    content = unit(federation, homes)
    found = ModelFigures.model_validate_json(content)
    assert set(found.accuracy) == set(SIZES)
    assert found.overall > 0.6
    assert unit(federation, homes) == content


def test_the_federation_without_teachers_needs_none(workspace: Workspace, tmp_path: Path) -> None:
    bare = prepare(CONFIG, tmp_path, load_splits(workspace.institutions))
    assert federated_figures(CONFIG.model_dump_json(), bare.institutions) == federated_figures(
        CONFIG.model_dump_json(), workspace.institutions
    )


def test_the_student_without_the_table_is_that_on_pooled_records_with_it_left_out(tmp_path: Path) -> None:
    rng, config = np.random.default_rng(2), gout(tmp_path)
    small = NetworkSettings(width=8, depth=1, heads=2)
    once = TrainingSettings(epochs=2)
    config = config.model_copy(update={"rounds": 1, "teacher": small, "student": small, "teacher_training": once, "training": once})

    def drawn(count: int) -> Records:
        joints = rng.integers(0, 4, count)
        return Records(np.column_stack([joints, rng.normal(6, 1, count)]).astype(np.float32), (joints > 1).astype(np.int64))

    homes = prepare(config, tmp_path / "homes", {name: Split(drawn(30), drawn(20)) for name in SIZES}).institutions
    assert config.knowledge is not None
    bare = config.model_copy(update={"knowledge": config.knowledge.model_copy(update={"table": None})})
    assert bare_figures(config.model_dump_json(), homes) == pooled_figures(bare.model_dump_json(), homes)
