"""A teacher is fitted once, kept, refused when damaged, and fitted again only when asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fedstill.teachers import fit_institution
from fedstill.workspace import prepare
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Records, Split
from shared.errors import CheckpointError
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import NumericColumn, TabularTask

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
