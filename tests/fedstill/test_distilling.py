"""A distillation that is killed anywhere ends with the same files; damage costs work, never a wrong student; nothing is mixed up."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fedstill.distilling import DistilPlan, plan_distillation, run_distillation
from fedstill.inferring import Hints, infer_federation
from fedstill.report.distilled import DistilSummary
from server.locking import run_lock
from shared.compress import runtime
from shared.config import FederationConfig
from shared.data import load_pool
from shared.distill.resume import Resume
from shared.distill.teacher import fit_teacher, save_teacher
from shared.errors import CheckpointError, ConfigError, EmptyInstitutionError, LabelError, RunError
from shared.models import load_model
from shared.models.network import predict_logits
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.sources import CsvData
from shared.task import CategoricalColumn, NumericColumn, TabularTask
from tests.support.teachers import make_reader
from tests.support.texts import write_messages, write_tokenizer

TASK = TabularTask(
    family="tabular",
    label="ill",
    labels=("no", "yes"),
    columns=(NumericColumn(name="age"), CategoricalColumn(kind="categorical", name="kind", categories=("a", "b"))),
)
CONFIG = FederationConfig(
    name="trial",
    task=TASK,
    teacher=NetworkSettings(width=8, depth=2, heads=2, dropout=0.1),
    student=NetworkSettings(width=8, depth=1, heads=2, dropout=0.1),
    teacher_training=TrainingSettings(epochs=2, batch_size=64),
    training=TrainingSettings(epochs=1, batch_size=64),
    distillation=DistillationSettings(views=2, adaptive_scale=True),
    rounds=3,
)
QUIET = Console(quiet=True)


def write_rows(path: Path, count: int = 240, *, seed: int = 1) -> Path:
    rng = np.random.default_rng(seed)
    ages, kinds = rng.normal(60, 10, count), rng.integers(0, 2, count)
    rows = (f"{age:.2f},{'ab'[kind]},{'yes' if age + 10 * kind > 65 else 'no'}\n" for age, kind in zip(ages, kinds, strict=True))
    path.write_text("age,kind,ill\n" + "".join(rows))
    return path


def config(folder: Path, **changes: object) -> FederationConfig:
    """The federation over rows that lie in ``folder``."""
    rows = folder / "rows.csv"
    if not rows.exists():
        write_rows(rows)
    return CONFIG.model_copy(update={"data": CsvData(source="csv", path=rows), **changes})


def plan_in(folder: Path, name: str = "out", **changes: object) -> DistilPlan:
    return plan_distillation(config(folder, **changes), out=folder / name)


def distilled(plan: DistilPlan) -> DistilSummary:
    return run_distillation(plan, QUIET)


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything but what holds times, by its path."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: content for name, content in found.items() if name not in ("summary.json", "distill.json") and "/." not in f"/{name}"}


def figures(summary: DistilSummary) -> dict[str, Any]:
    """What a summary says beside times and places."""
    found = summary.model_dump(mode="json", exclude={"seconds": True, "folder": True, "teacher": {"latency_ms"}, "student": {"latency_ms"}})
    assert isinstance(found, dict)
    return found


# Killed


class Killed(BaseException):
    """A process that ends; nothing that catches errors catches it."""


TICKING = (
    "shared.distill.adamw.FlatAdamW.step",
    "shared.distill.cache.shown",
    "shared.distill.stored.write_atomic",
    "shared.distill.teacher.write_atomic",
    "shared.models.checkpoint.write_atomic",
    "fedstill.distilling.write_atomic",
)
"""Steps, questions to the teacher, and files: any of them may be the last thing that a process began."""


@contextlib.contextmanager
def dying(at: int | None) -> Iterator[list[int]]:
    """Dies at the ``at``-th tick; a fit is kept after every batch. Yields the number of ticks."""
    ticks = [0]

    def ticked(real: Any) -> Any:
        def tick(*rest: Any, **named: Any) -> Any:
            if ticks[0] == at:
                raise Killed
            ticks[0] += 1
            return real(*rest, **named)

        return tick

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch("shared.distill.resume.Resume.due", lambda self: True))
        for name in TICKING:
            place, attribute = name.rsplit(".", 1)
            module, *owner = place.split(".FlatAdamW")
            holder = importlib.import_module(module)
            target = holder.FlatAdamW if owner else holder
            stack.enter_context(patch.object(target, attribute, ticked(getattr(target, attribute))))
        yield ticks


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DistilSummary, int]:
    """A folder with rows, the summary of a distillation in it that nobody killed, and its ticks."""
    folder = tmp_path_factory.mktemp("whole")
    with dying(None) as ticks:
        summary = distilled(plan_in(folder))
    return folder, summary, ticks[0]


@settings(max_examples=15)
@given(data=st.data())
def test_killed_anywhere_it_ends_with_the_same_files(whole: tuple[Path, DistilSummary, int], data: st.DataObject) -> None:
    folder, summary, ticks = whole
    first = data.draw(st.integers(0, ticks - 1))
    second = data.draw(st.integers(0, ticks - 1))
    with TemporaryDirectory(dir=folder) as other:
        plan = plan_distillation(config(folder), out=Path(other) / "cut")
        for at in (first, second):
            with dying(at), contextlib.suppress(Killed):
                distilled(plan)
            assert plan_distillation(config(folder), out=plan.folder) == plan
        found = distilled(plan)
        assert files_of(plan.folder) == files_of(folder / "out")
    assert figures(found) == figures(summary)


def test_one_in_a_folder_that_was_moved_goes_on(whole: tuple[Path, DistilSummary, int], tmp_path: Path) -> None:
    folder, summary, ticks = whole
    with dying(ticks // 2), contextlib.suppress(Killed):
        distilled(plan_distillation(config(folder), out=tmp_path / "here"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert figures(distilled(plan_distillation(config(folder), out=tmp_path / "there"))) == figures(summary)
    assert files_of(tmp_path / "there") == files_of(folder / "out")


# Again


@pytest.fixture
def done(whole: tuple[Path, DistilSummary, int], tmp_path: Path) -> tuple[DistilPlan, DistilSummary]:
    """A copy of the finished distillation, its rows beside it as they were."""
    folder, summary, _ = whole
    shutil.copytree(folder / "out", tmp_path / "out")
    return plan_distillation(config(folder), out=tmp_path / "out"), summary


def test_what_is_done_is_not_done_again(done: tuple[DistilPlan, DistilSummary]) -> None:
    plan, summary = done
    with dying(0):
        again = distilled(plan)
    assert again == summary.model_copy(update={"folder": plan.folder})


@pytest.mark.parametrize("name", ["summary.json", "student.onnx"])
def test_what_is_lost_is_made_again_without_training(done: tuple[DistilPlan, DistilSummary], name: str) -> None:
    plan, summary = done
    before = files_of(plan.folder)
    (plan.folder / name).unlink()
    with patch("shared.distill.alone.distil", side_effect=AssertionError("it was trained already")):
        assert figures(distilled(plan)) == figures(summary)
    assert files_of(plan.folder) == before


@pytest.mark.parametrize("name", ["fitted.json", "student.safetensors"])
def test_damage_costs_work_and_nothing_else(done: tuple[DistilPlan, DistilSummary], name: str) -> None:
    plan, summary = done
    before = files_of(plan.folder)
    (plan.folder / name).write_bytes(b"{")
    (plan.folder / "summary.json").write_bytes(b"\xff{")
    (plan.folder / "fit.safetensors").write_bytes(b"nonsense")
    assert figures(distilled(plan)) == figures(summary)
    assert files_of(plan.folder) == before


def test_a_teacher_that_is_damaged_is_said(done: tuple[DistilPlan, DistilSummary]) -> None:
    plan, _ = done
    (plan.folder / "summary.json").unlink()
    (plan.folder / "teacher" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="remove that folder, and it is fitted again"):
        distilled(plan)
    shutil.rmtree(plan.folder / "teacher")
    distilled(plan)


# Teachers of other kinds


def test_trees_are_grown_once_and_teach(tmp_path: Path) -> None:
    plan = plan_distillation(config(tmp_path), teacher_kind="boosting", epochs=1, out=tmp_path / "out")
    with dying(6), contextlib.suppress(Killed):
        distilled(plan)
    assert (plan.folder / "teacher" / "model.txt").exists()
    with patch("shared.teachers.boosting.fit_boosting", side_effect=AssertionError("they were grown already")):
        summary = distilled(plan_distillation(config(tmp_path), teacher_kind="boosting", epochs=1, out=tmp_path / "out"))
    assert summary.teacher is not None
    assert summary.teacher.accuracy > 0.8
    assert summary.targets_mb > 0
    # Trees show nothing inside: what the settings ask for beside their answers is said not to teach.
    assert summary.objective.endswith("; not in force: hidden states (the teacher shows none), attention (the teacher shows none)")


def test_a_pretrained_encoder_is_tuned_in_the_folder_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    base = make_reader(tmp_path / "base")
    messages = write_messages(tmp_path / "messages.csv", 90)
    federation = infer_federation(messages, Hints(label="intent", text="message", tokenizer=write_tokenizer(tmp_path)))
    federation = federation.model_copy(
        update={"student": CONFIG.student, "distillation": DistillationSettings(hidden_weight=0.0, attention_weight=0.0)}
    )
    plans = [
        plan_distillation(federation, teacher_kind="pretrained", base=str(base), epochs=1, out=tmp_path / name) for name in ("one", "cut")
    ]
    summary = distilled(plans[0])
    real, calls = Resume.save, []

    def save_and_die(self: Resume, tensors: Any) -> None:
        real(self, tensors)
        calls.append(len(tensors))
        if len(calls) == 2:
            raise Killed

    with patch.object(Resume, "due", lambda self: True), patch.object(Resume, "save", save_and_die), pytest.raises(Killed):
        distilled(plans[1])
    assert (plans[1].folder / "teacher-fit.safetensors").exists()
    assert not (plans[1].folder / "teacher").exists()
    assert figures(distilled(plans[1])) == figures(summary)
    assert files_of(plans[1].folder) == files_of(plans[0].folder)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one or the other"):
        plan_distillation(config(tmp_path), teacher=tmp_path, teacher_kind="boosting", out=tmp_path / "out")
    mutual = config(tmp_path, distillation=DistillationSettings(teacher="mutual"))
    with pytest.raises(ConfigError, match="cannot learn along"):
        plan_distillation(mutual, teacher_kind="boosting", out=tmp_path / "out")
    none = config(tmp_path, distillation=DistillationSettings(teacher="none"))
    with pytest.raises(ConfigError, match=r"^--teacher-kind: .* is 'none'"):
        plan_distillation(none, teacher_kind="boosting", out=tmp_path / "out")


def test_above_the_limit_the_option_that_sets_it_is_named(tmp_path: Path) -> None:
    text = io.StringIO()
    plan = plan_distillation(config(tmp_path), epochs=1, cache_limit_mb=0, out=tmp_path / "out")
    assert run_distillation(plan, Console(file=text, width=400)).targets_mb == 0.0
    assert "more than --cache-limit-mb 0 allows" in text.getvalue()
    assert "cache_limit_mb" not in text.getvalue()


def test_other_records_start_the_fit_anew(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    distilled(plan)
    write_rows(tmp_path / "rows.csv", seed=2)
    for name in ("summary.json", "teacher"):
        path = plan.folder / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    distilled(plan)
    distilled(plan_in(tmp_path, "fresh"))
    assert files_of(plan.folder) == files_of(tmp_path / "fresh")


# What is refused


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / "teacher").mkdir(parents=True)
    with pytest.raises(RunError, match="holds something else"):
        plan_in(tmp_path)
    plan_in(tmp_path, "empty").folder.mkdir()
    assert plan_in(tmp_path, "empty").epochs == 3


def test_another_plan_and_a_damaged_one_are_refused(done: tuple[DistilPlan, DistilSummary]) -> None:
    plan, _ = done
    for other in ({"epochs": 4}, {"seed": 9}, {"threads": 2}, {"teacher": plan.folder / "teacher"}, {"teacher_kind": "boosting"}):
        with pytest.raises(RunError, match="holds another distillation"):
            plan_distillation(plan.federation, out=plan.folder, **other)  # type: ignore[arg-type]
    (plan.folder / "distill.json").write_bytes(b"\xff{")
    with pytest.raises(RunError, match="damaged"):
        plan_distillation(plan.federation, out=plan.folder)


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    with run_lock(plan.folder, "other"), pytest.raises(RunError, match="another process"):
        distilled(plan)


@pytest.mark.parametrize("kind", ["none", "virtual", "average", "pseudo"])
def test_a_teacher_that_nobody_asks_is_refused(tmp_path: Path, kind: str) -> None:
    federation = config(tmp_path, distillation=DistillationSettings(teacher=kind))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"is '{kind}'"):
        plan_distillation(federation, teacher=tmp_path, out=tmp_path / "out")


def test_nothing_is_written_for_records_or_a_teacher_that_cannot_be_used(tmp_path: Path) -> None:
    federation = config(tmp_path)
    with pytest.raises(CheckpointError, match="there is no teacher in"):
        distilled(plan_distillation(federation, teacher=tmp_path / "gone", out=tmp_path / "out"))
    other = TASK.model_copy(update={"labels": ("yes", "no")})
    save_teacher(tmp_path / "other", fit_teacher(load_pool(federation).train, other, CONFIG.teacher, CONFIG.teacher_training, seed=1))
    with pytest.raises(CheckpointError, match="another task"):
        distilled(plan_distillation(federation, teacher=tmp_path / "other", out=tmp_path / "out"))
    (tmp_path / "rows.csv").write_text("age,kind,ill\n1,a,perhaps\n")
    with pytest.raises(LabelError):
        distilled(plan_in(tmp_path))
    (tmp_path / "rows.csv").write_text("age,kind,ill\n")
    with pytest.raises(EmptyInstitutionError):
        distilled(plan_in(tmp_path))
    assert not (tmp_path / "out").exists()


# What comes out


def test_a_given_teacher_is_the_one_that_was_fitted_here(whole: tuple[Path, DistilSummary, int], tmp_path: Path) -> None:
    folder, summary, _ = whole
    given = distilled(plan_distillation(config(folder), teacher=folder / "out" / "teacher", out=tmp_path / "out"))
    assert given.student.loss == summary.student.loss
    assert not (tmp_path / "out" / "teacher").exists()


@pytest.mark.parametrize("kind", ["none", "average"])
def test_without_a_teacher_there_is_nothing_to_keep_of(tmp_path: Path, kind: str) -> None:
    plan = plan_in(tmp_path, distillation=DistillationSettings(teacher=kind))  # type: ignore[arg-type]
    summary = distilled(plan)
    assert (summary.teacher, summary.kept, summary.targets_mb) == (None, None, 0.0)
    assert sorted(path.name for path in plan.folder.iterdir() if path.is_dir()) == []


def test_a_fit_that_ends_early_says_its_epochs(tmp_path: Path) -> None:
    training = TrainingSettings(epochs=30, batch_size=64, learning_rate=1.0, patience=1)
    summary = distilled(plan_in(tmp_path, training=training, rounds=1))
    assert 1 < summary.epochs < 30


def test_texts_come_with_a_graph_and_the_tokeniser_that_feeds_it(tmp_path: Path) -> None:
    federation = infer_federation(
        write_messages(tmp_path / "messages.csv", 90), Hints(label="intent", text="message", tokenizer=write_tokenizer(tmp_path))
    )
    small = {"teacher": CONFIG.teacher, "student": CONFIG.student, "teacher_training": CONFIG.teacher_training}
    plan = plan_distillation(federation.model_copy(update=small), epochs=1, out=tmp_path / "out")
    summary = distilled(plan)
    assert json.loads((plan.folder / "summary.json").read_text())["files"] == {
        "student": "student.safetensors",
        "graph": "student.onnx",
        "tokeniser": "tokenizer.json",
    }
    assert (plan.folder / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    inputs = load_pool(plan.federation).test.inputs
    found = runtime.logits(runtime.session((plan.folder / summary.files["graph"]).read_bytes()), inputs)
    np.testing.assert_allclose(found, predict_logits(load_model(plan.folder / summary.files["student"]), inputs), atol=1e-4)


def test_the_threads_of_the_plan_are_used(tmp_path: Path) -> None:
    with patch("torch.set_num_threads") as used:
        distilled(plan_distillation(config(tmp_path), epochs=1, out=tmp_path / "out", threads=2))
    assert used.call_args_list[0].args == (2,)
