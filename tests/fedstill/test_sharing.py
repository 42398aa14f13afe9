"""A fit that two processes share gives the student of one, leaves none of them behind, and says what went wrong in another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from rich.console import Console

from fedstill.distilling import DistilPlan, plan_distillation, run_distillation
from fedstill.sharing import device_of_rank
from shared.config import FederationConfig
from shared.errors import ConfigError, RunError
from shared.models import load_model
from shared.models.network import predict_logits
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.sources import CsvData
from shared.task import NumericColumn, TabularTask

QUIET = Console(quiet=True)


def plan_in(folder: Path, name: str, *, processes: int, epochs: int = 2) -> DistilPlan:
    """A fit with a teacher and batches that two processes cannot halve, in which each loss is a record's own."""
    rows, path = np.random.default_rng(1).normal(size=(101, 2)), folder / "rows.csv"
    path.write_text("age,dose,ill\n" + "".join(f"{age},{dose},{'yes' if age > dose else 'no'}\n" for age, dose in rows))
    columns = (NumericColumn(name="age"), NumericColumn(name="dose"))
    config = FederationConfig(
        name="trial",
        task=TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=columns),
        data=CsvData(source="csv", path=path),
        teacher=NetworkSettings(width=8, depth=1, heads=2),
        student=NetworkSettings(width=8, depth=1, heads=2),
        teacher_training=TrainingSettings(epochs=1),
        training=TrainingSettings(epochs=1, batch_size=15, accumulation=2),
        distillation=DistillationSettings(),
    )
    return plan_distillation(config, out=folder / name, epochs=epochs, processes=processes)


def others_of(folder: Path) -> list[int]:
    """The living processes that take part in a fit in ``folder``, beside the first."""
    wanted, found = f"fedstill.sharing\0{folder}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_two_processes_give_the_student_of_one(tmp_path: Path) -> None:
    alone, shared = plan_in(tmp_path, "one", processes=1), plan_in(tmp_path, "two", processes=2)
    one, two = run_distillation(alone, QUIET), run_distillation(shared, QUIET)
    assert two.train_loss == pytest.approx(one.train_loss, rel=1e-5)
    first, second = (load_model(plan.folder / "student.safetensors") for plan in (alone, shared))
    for name, values in first.named_parameters():
        kept = torch.ones(len(values), dtype=torch.bool)
        if name.endswith("query_key_value.bias"):
            # A bias of all keys changes no attention: its gradient is rounding alone, which AdamW scales up to whole steps.
            kept[len(values) // 3 : 2 * len(values) // 3] = False
        torch.testing.assert_close(values[kept], second.get_parameter(name)[kept], rtol=1e-3, atol=1e-5)
    inputs = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
    np.testing.assert_allclose(predict_logits(first, inputs), predict_logits(second, inputs), rtol=1e-3, atol=1e-5)
    assert not others_of(shared.folder)
    assert not [path.name for path in shared.folder.iterdir() if path.name.startswith((".meeting", "process-"))]


def test_what_another_process_says_is_told_and_nobody_stays(tmp_path: Path) -> None:
    plan, program = plan_in(tmp_path, "two", processes=2), tmp_path / "program"
    program.write_text("#!/bin/sh\necho there is no such library\nexit 3\n")
    program.chmod(0o755)
    with (
        patch("fedstill.sharing.sys.executable", str(program)),
        # As long as the test itself would be waited for: who is dead is not waited for at all.
        patch("shared.distill.share.WAIT_S", 1e6),
        pytest.raises(RunError, match=r"process 1 ended by itself \(code 3\) before the fit began.*said: there is no such library"),
    ):
        run_distillation(plan, QUIET)
    assert not others_of(plan.folder)
    assert not list(plan.folder.glob(".meeting-*"))


def test_a_process_that_is_killed_takes_the_others_along(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, "two", processes=2, epochs=1000)
    script = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from fedstill.distilling import run_distillation\nfrom tests.fedstill.test_sharing import plan_in\n"
        "run_distillation(plan_in(Path(sys.argv[1]), 'two', processes=2, epochs=1000), Console(quiet=True))"
    )
    root = str(Path(__file__).parents[2])
    first = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": root}, cwd=root)
    try:
        _until(lambda: bool(others_of(plan.folder)))
        first.kill()
        first.wait(60)
        _until(lambda: not others_of(plan.folder))
    finally:
        first.kill()
        first.wait(60)


def _until(condition: object, seconds: float = 120.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_each_process_needs_a_device_of_its_own() -> None:
    assert device_of_rank("cpu", 1, 2).type == "cpu"
    with (
        patch("torch.cuda.is_available", return_value=True),
        patch("torch.cuda.device_count", return_value=2),
        patch.dict(os.environ, {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),
    ):
        assert [device_of_rank("cuda", rank, 2).index for rank in range(2)] == [0, 1]
        with pytest.raises(ConfigError, match="2 CUDA GPUs"):
            device_of_rank("auto", 2, 3)
        with pytest.raises(ConfigError, match="--processes 2 needs a device for each"):
            device_of_rank("cuda:1", 0, 2)
