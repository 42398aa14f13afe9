"""The workbench: every kind of work, in the counters' order, repeatable to the bit."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor

from client.training import IN_FORCE_FILE, Contribution, Workbench
from shared.compress.export import export_float
from shared.compress.prune.anatomy import anatomy
from shared.config import InstitutionConfig
from shared.data import Split, save_arrays
from shared.distill import evaluate
from shared.distill.lesson import Lesson
from shared.distill.resume import Resume
from shared.distill.teacher import load_teacher, save_teacher
from shared.errors import ArtifactError, CheckpointError, NotFiniteError, ProtocolError
from shared.models import Network, load_vector, to_vector
from shared.settings import DistillationSettings, TeacherKind, TrainingSettings
from shared.sources import ArrayData
from shared.task import Task
from shared.teachers.boosting import fit_boosting, save_boosting
from shared.work import (
    FIXED_POINT,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    GateWork,
    GridWork,
    ImportanceWork,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
)
from tests.support.calibrated import ranges_of
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, network, normalisation, records
from tests.support.teachers import make_seer

NO_TEACHER = DistillationSettings(teacher="none")
MUTUAL = DistillationSettings(teacher="mutual")


def home(folder: Path, task: Task = TABLE, *, name: str = "ash", teacher: bool = True) -> Workbench:
    """A workbench over an institution's folder that is made if it is missing."""
    if not folder.exists():
        save_arrays(folder / "records.npz", Split(records(task, 40, seed=1), records(task, 21, seed=2)))
        if teacher:
            save_teacher(folder / "teacher", network(task, LARGE, seed=9))
    data = ArrayData(source="arrays", path=folder / "records.npz")
    return Workbench(InstitutionConfig(name=name, task=task, data=data, student=SMALL), folder)


def train_work(task: Task = TABLE, version: int = 0, distillation: DistillationSettings | None = None) -> TrainWork:
    return TrainWork(
        version=version,
        seed=7,
        normalisation=normalisation(task),
        training=TrainingSettings(epochs=2, batch_size=16),
        distillation=distillation or DistillationSettings(),
    )


def student_blob(task: Task = TABLE, seed: int = 1) -> bytes:
    content: bytes = save({"vector": to_vector(network(task, seed=seed))})
    return content


def named(work: Work, task: Task, counters: NDArray[np.int64]) -> Mapping[str, NDArray[np.int64]]:
    fields = counter_fields(work, task)
    assert len(counters) == sum(field.length for field in fields)
    ends = np.cumsum([field.length for field in fields])[:-1]
    return dict(zip([field.name for field in fields], np.split(counters, ends), strict=True))


def same(one: Contribution, other: Contribution) -> bool:
    assert one.update is not None
    assert other.update is not None
    return one.update.tobytes() == other.update.tobytes() and one.counters.tobytes() == other.counters.tobytes()


# Training


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_a_round_evaluates_the_student_that_came_and_then_trains_it(tmp_path: Path, task: Task) -> None:
    found = home(tmp_path / "a", task).perform(train_work(task), student_blob(task), 3)
    counters = named(train_work(task), task, found.counters)
    before = evaluate(network(task, seed=1), records(task, 21, seed=2), len(task.labels))
    assert counters["eval_records"].tolist() == [21]
    assert (counters["eval_confusion"] == before.confusion.reshape(-1)).all()
    assert counters["eval_loss"][0] == round(before.loss * 21 * FIXED_POINT)
    assert counters["train_records"].tolist() == [40]
    assert counters["train_loss"][0] > 0
    assert (found.counters >= 0).all()
    assert found.weight == 40
    assert found.update is not None
    assert found.update.dtype == np.float32
    assert np.abs(found.update).max() > 0


def test_the_update_leads_to_a_better_student(tmp_path: Path) -> None:
    student, work = network(), train_work(distillation=NO_TEACHER).model_copy(update={"training": TrainingSettings(epochs=30)})
    found = home(tmp_path / "a").perform(work, student_blob(), 1)
    assert found.update is not None
    before = evaluate(student, records(TABLE, 40, seed=1), 2).loss
    load_vector(student, to_vector(student) + found.update)
    assert evaluate(student, records(TABLE, 40, seed=1), 2).loss < before


def test_the_same_round_gives_the_same_bits_after_a_restart(tmp_path: Path) -> None:
    one = home(tmp_path / "a")
    first = one.perform(train_work(), student_blob(), 1)
    second = one.perform(train_work(version=1), student_blob(seed=2), 2)
    # The second round again: by the same process, and by a new one that finds only the folder.
    assert same(one.perform(train_work(version=1), student_blob(seed=2), 2), second)
    assert same(home(tmp_path / "a").perform(train_work(version=1), student_blob(seed=2), 2), second)
    assert same(home(tmp_path / "b").perform(train_work(), student_blob(), 1), first)


@pytest.mark.parametrize("kind", ["none", "virtual", "average", "pseudo"])
def test_only_an_own_teacher_is_looked_for(tmp_path: Path, kind: TeacherKind) -> None:
    work = train_work(distillation=DistillationSettings(teacher=kind))
    found = home(tmp_path / "a", teacher=False).perform(work, student_blob(), 1)
    assert found.update is not None
    assert np.abs(found.update).max() > 0
    assert same(home(tmp_path / "b").perform(work, student_blob(), 1), found)


def test_a_mutual_teacher_learns_along_and_goes_on_in_the_next_round(tmp_path: Path) -> None:
    work, one = train_work(distillation=MUTUAL), home(tmp_path / "a")
    found = one.perform(work, student_blob(), 1)
    assert not same(found, home(tmp_path / "b").perform(train_work(distillation=NO_TEACHER), student_blob(), 1))
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    second = one.perform(train_work(version=1, distillation=MUTUAL), student_blob(seed=2), 2)
    # Without what it learnt in the first round the second would be another.
    kept = next((tmp_path / "c" / "state").glob("alignment*"))
    assert any(name.startswith("mutual.") for name in load(kept.read_bytes()))
    kept.unlink()
    assert not same(home(tmp_path / "c").perform(train_work(version=1, distillation=MUTUAL), student_blob(seed=2), 2), second)
    assert to_vector(load_teacher(tmp_path / "a" / "teacher", TABLE)).tobytes() == to_vector(network(TABLE, LARGE, seed=9)).tobytes()


def test_rounds_seeds_and_names_draw_other_batches(tmp_path: Path) -> None:
    work = train_work(distillation=NO_TEACHER)
    first = home(tmp_path / "a").perform(work, student_blob(), 1)
    assert not same(first, home(tmp_path / "a").perform(work, student_blob(), 2))
    assert not same(first, home(tmp_path / "a", name="elm").perform(work, student_blob(), 1))
    assert not same(first, home(tmp_path / "a").perform(work.model_copy(update={"seed": 8}), student_blob(), 1))


def test_the_alignment_of_earlier_rounds_counts_and_is_private(tmp_path: Path) -> None:
    one = home(tmp_path / "a")
    one.perform(train_work(), student_blob(), 1)
    kept = sorted((tmp_path / "a" / "state").iterdir())
    assert [path.name.split("-")[0] for path in kept] == ["alignment", "in", "targets"]
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600, 0o600, 0o700]
    assert "hidden states (uniform, " in kept[1].read_text()
    assert {path.stat().st_mode & 0o777 for path in kept[2].iterdir()} == {0o600}
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "state" / "alignment-v00001.safetensors").unlink()
    work = train_work(version=1)
    assert not same(one.perform(work, student_blob(), 2), home(tmp_path / "b").perform(work, student_blob(), 2))


def test_targets_over_the_limit_are_asked_live_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = home(tmp_path / "a").perform(train_work(), student_blob(), 1)
    save_arrays(tmp_path / "b" / "records.npz", Split(records(TABLE, 40, seed=1), records(TABLE, 21, seed=2)))
    save_teacher(tmp_path / "b" / "teacher", network(TABLE, LARGE, seed=9))
    data = ArrayData(source="arrays", path=tmp_path / "b" / "records.npz")
    live = Workbench(InstitutionConfig(name="ash", task=TABLE, data=data, student=SMALL, cache_limit_mb=0), tmp_path / "b")
    found = live.perform(train_work(), student_blob(), 1)
    assert "cache_limit_mb = 0" in caplog.text
    assert not list((tmp_path / "b" / "state").glob("targets-*"))
    assert kept.update is not None
    assert found.update is not None
    np.testing.assert_allclose(found.update, kept.update, atol=1e-3)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_views_are_part_of_the_round_and_repeat(tmp_path: Path, task: Task) -> None:
    work = train_work(task, distillation=DistillationSettings(views=3, top_k=1))
    one = home(tmp_path / "a", task)
    first, second = one.perform(work, student_blob(task), 1), one.perform(work.model_copy(update={"version": 1}), student_blob(task), 2)
    again = home(tmp_path / "a", task)
    assert same(again.perform(work, student_blob(task), 1), first)
    assert same(again.perform(work.model_copy(update={"version": 1}), student_blob(task), 2), second)
    assert not same(home(tmp_path / "b", task).perform(train_work(task), student_blob(task), 1), first)


def test_a_teacher_of_any_kind_teaches(tmp_path: Path) -> None:
    learnt = records(TABLE, 40, seed=1)
    trees, seer = home(tmp_path / "trees", teacher=False), home(tmp_path / "seer", IMAGES, teacher=False)
    save_boosting(tmp_path / "trees" / "teacher", fit_boosting(learnt, TABLE, seed=1))
    make_seer(tmp_path / "seer" / "teacher")
    one, other = trees.perform(train_work(), student_blob(), 1), seer.perform(train_work(IMAGES), student_blob(IMAGES), 1)
    assert same(home(tmp_path / "trees").perform(train_work(), student_blob(), 1), one)
    assert same(home(tmp_path / "seer", IMAGES).perform(train_work(IMAGES), student_blob(IMAGES), 1), other)
    untaught = home(tmp_path / "none", IMAGES, teacher=False).perform(train_work(IMAGES, distillation=NO_TEACHER), student_blob(IMAGES), 1)
    assert not same(other, untaught)


# A round that is killed half-way


class Killed(Exception):
    """A process that ends in the middle of a round."""


@pytest.fixture
def kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit is kept after every batch."""
    monkeypatch.setattr("client.training.Resume", functools.partial(Resume, interval_s=0.0))


def batches(action: Callable[[], object], die_at: int | None = None) -> int:
    """How many batches ``action`` computed before it ended, or died at the ``die_at``-th."""
    loss, done = Lesson.loss, 0

    def dying(lesson: Lesson, rows: Tensor, epoch: int) -> Tensor:
        nonlocal done
        if done == die_at:
            raise Killed
        done += 1
        return loss(lesson, rows, epoch)

    with patch.object(Lesson, "loss", dying), contextlib.suppress(Killed):
        action()
    return done


@pytest.mark.usefixtures("kept_at_once")
@pytest.mark.parametrize(
    "distillation", [DistillationSettings(views=2, adaptive_scale=True), DistillationSettings(teacher="average"), MUTUAL]
)
@pytest.mark.parametrize("die_at", [0, 1, 3, 5])
def test_a_killed_round_goes_on_to_the_same_bits(tmp_path: Path, distillation: DistillationSettings, die_at: int) -> None:
    first, work = train_work(distillation=distillation), train_work(version=1, distillation=distillation)
    expected = home(tmp_path / "a")
    expected.perform(first, student_blob(), 1)
    whole = expected.perform(work, student_blob(seed=2), 2)
    home(tmp_path / "b").perform(first, student_blob(), 1)
    kept = tmp_path / "b" / "state" / "fit.safetensors"
    assert not kept.exists()
    assert batches(lambda: home(tmp_path / "b").perform(work, student_blob(seed=2), 2), die_at) == die_at
    assert kept.exists() == (die_at > 0)
    assert not die_at or kept.stat().st_mode & 0o777 == 0o600
    found: list[Contribution] = []
    assert batches(lambda: found.append(home(tmp_path / "b").perform(work, student_blob(seed=2), 2))) == 6 - die_at
    assert same(found[0], whole)
    assert not kept.exists()


@pytest.mark.usefixtures("kept_at_once")
@pytest.mark.parametrize("other", ["round", "vector", "plan", "records"])
def test_another_round_does_not_go_on_where_one_was_killed(tmp_path: Path, other: str) -> None:
    number, blob, work = 2 if other == "round" else 1, student_blob(seed=5 if other == "vector" else 1), train_work()
    if other == "plan":
        work = work.model_copy(update={"seed": 8})

    def performed(folder: Path, *, killed: bool) -> Contribution:
        bench, kept, found = home(folder), folder / "state" / "fit.safetensors", []
        if killed:
            assert batches(lambda: home(folder).perform(train_work(), student_blob(), 1), 4) == 4
            assert kept.exists()
        if other == "records":
            save_arrays(folder / "records.npz", Split(records(TABLE, 40, seed=3), records(TABLE, 21, seed=2)))
        assert batches(lambda: found.append(bench.perform(work, blob, number))) == 6
        assert not kept.exists()
        return found[0]

    assert same(performed(tmp_path / "killed", killed=True), performed(tmp_path / "fresh", killed=False))


@pytest.mark.usefixtures("kept_at_once")
def test_a_damaged_fit_starts_the_round_anew(tmp_path: Path) -> None:
    whole = home(tmp_path / "a").perform(train_work(), student_blob(), 1)
    batches(lambda: home(tmp_path / "b").perform(train_work(), student_blob(), 1), 4)
    kept = tmp_path / "b" / "state" / "fit.safetensors"
    kept.write_bytes(kept.read_bytes()[:-7])
    assert same(home(tmp_path / "b").perform(train_work(), student_blob(), 1), whole)


def test_two_institutions_in_two_threads_do_not_meet(tmp_path: Path) -> None:
    def rounds(folder: Path, name: str) -> list[Contribution]:
        bench = home(folder, name=name)
        return [bench.perform(train_work(version=version), student_blob(seed=version), version) for version in range(3)]

    expected = [rounds(tmp_path / f"alone-{name}", name) for name in ("ash", "elm")]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: rounds(tmp_path / f"together-{name}", name), ("ash", "elm")))
    assert all(same(a, b) for one, other in zip(found, expected, strict=True) for a, b in zip(one, other, strict=True))


def test_without_teaching_no_teacher_is_needed_and_nothing_is_kept(tmp_path: Path) -> None:
    bench = home(tmp_path / "a", teacher=False)
    bench.perform(train_work(distillation=NO_TEACHER), student_blob(), 1)
    assert [path.name for path in (tmp_path / "a" / "state").iterdir()] == [IN_FORCE_FILE]
    assert (tmp_path / "a" / "state" / IN_FORCE_FILE).read_text().startswith("1 labels; not in force: soft targets (there is no teacher)")
    with pytest.raises(CheckpointError, match="fedstill teacher fit"):
        bench.perform(train_work(), student_blob(), 1)


@pytest.mark.parametrize("blob", [b"", b"nonsense", save({"other": np.zeros(3, np.float32)}), save({"vector": np.zeros(3, np.float32)})])
def test_a_blob_that_is_no_student_is_refused(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(CheckpointError):
        home(tmp_path / "a").perform(train_work(), blob, 1)


def test_a_student_with_a_nan_is_refused(tmp_path: Path) -> None:
    vector = to_vector(network())
    vector[3] = np.nan
    with pytest.raises(NotFiniteError):
        home(tmp_path / "a").perform(train_work(), save({"vector": vector}), 1)


# Counting


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_statistics_count_the_training_records_alone(tmp_path: Path, task: Task) -> None:
    bench = home(tmp_path / "a", task)
    ranges = bench.perform(StatisticsRangeWork(), b"", 1)
    work = StatisticsMomentsWork(exponents=(8,) if task.family == "image" else (7, 3))
    moments = named(work, task, bench.perform(work, b"", 2).counters)
    assert ranges.update is None
    assert ranges.weight == 40
    expected = 40 if task.family == "image" else int((~np.isnan(records(TABLE, 40, seed=1).inputs[:, 0])).sum())
    assert moments["count"][0] == expected
    assert named(StatisticsRangeWork(), task, ranges.counters)["exponents"][:64].sum() == expected


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_calibration_and_gate_go_over_the_student_that_came(tmp_path: Path, task: Task) -> None:
    from shared.compress.calibrate import calibrated_tensors
    from shared.compress.export import export_float

    bench, student = home(tmp_path / "a", task), network(task, seed=1)
    graph = export_float(student, task)
    tensors = calibrated_tensors(graph)
    range_work = CalibrateRangeWork(normalisation=normalisation(task), tensors=tensors)
    ranges = named(range_work, task, bench.perform(range_work, student_blob(task), 5).counters)
    assert ranges["eval_records"].tolist() == [21]
    assert ranges["ranges"].reshape(len(tensors), -1).sum(axis=1).min() > 0
    histogram_work = CalibrateHistogramWork(
        normalisation=normalisation(task), tensors=tensors, lows=(-8.0,) * len(tensors), highs=(8.0,) * len(tensors)
    )
    histograms = named(histogram_work, task, bench.perform(histogram_work, student_blob(task), 6).counters)
    assert histograms["histograms"].sum() > 0
    gate_work = GateWork(candidates=("same", "again"))
    files = {name: np.frombuffer(graph, np.uint8) for name in ("float", "same", "again")}
    gate = named(gate_work, task, bench.perform(gate_work, save(files), 7).counters)
    right = int(np.trace(evaluate(student, records(task, 21, seed=2), len(task.labels)).confusion))
    assert gate["gate_records"].tolist() == [21]
    assert gate["gate_agree"].tolist() == [21, 21]
    assert gate["gate_float_right"].tolist() == [right]


def quantised_work(task: Task, version: int = 0) -> TrainWork:
    student = network(task, seed=1)
    ranges = ranges_of(export_float(student, task), task, records(task, 40, seed=1).inputs)
    return train_work(task, version).model_copy(update={"quantised": GridWork(grid="u8s8-7bit", ranges=ranges)})


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_a_student_learns_with_the_grid_and_its_float_parameters_change(tmp_path: Path, task: Task) -> None:
    found = home(tmp_path / "a", task).perform(quantised_work(task), student_blob(task), 3)
    plain = home(tmp_path / "b", task).perform(train_work(task), student_blob(task), 3)
    assert found.update is not None
    assert plain.update is not None
    assert found.update.shape == plain.update.shape
    assert not np.array_equal(found.update, plain.update)
    assert np.corrcoef(found.update, plain.update)[0, 1] > 0.5
    assert same(home(tmp_path / "c", task).perform(quantised_work(task), student_blob(task), 3), found)


@pytest.mark.usefixtures("kept_at_once")
def test_a_killed_round_with_the_grid_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = home(tmp_path / "a").perform(quantised_work(TABLE), student_blob(), 1)
    assert batches(lambda: home(tmp_path / "b").perform(quantised_work(TABLE), student_blob(), 1), 4) == 4
    found: list[Contribution] = []
    assert batches(lambda: found.append(home(tmp_path / "b").perform(quantised_work(TABLE), student_blob(), 1))) == 2
    assert same(found[0], whole)


def test_a_grid_that_lacks_a_range_is_refused(tmp_path: Path) -> None:
    work = train_work().model_copy(update={"quantised": GridWork(grid="u8s8-7bit", ranges={})})
    with pytest.raises(ArtifactError, match="no range for the tensor"):
        home(tmp_path / "a").perform(work, student_blob(), 1)


def test_tensors_that_the_graph_has_not_are_refused(tmp_path: Path) -> None:
    work = CalibrateRangeWork(normalisation=normalisation(TABLE), tensors=("nowhere",))
    with pytest.raises(ProtocolError, match="same release"):
        home(tmp_path / "a").perform(work, student_blob(), 1)


def test_a_candidate_that_was_not_sent_is_named(tmp_path: Path) -> None:
    files: dict[str, NDArray[Any]] = {"float": np.zeros(3, np.uint8)}
    with pytest.raises(ProtocolError, match="'u8u8'"):
        home(tmp_path / "a").perform(GateWork(candidates=("u8u8",)), save(files), 1)


def test_the_student_is_the_one_that_the_coordinator_has() -> None:
    # Both sides read the vector in one order, whatever they built it with.
    one, other = network(seed=1), network(seed=2)
    load_vector(other, to_vector(one))
    assert isinstance(other, Network)
    assert all((a == b).all() for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_what_parts_are_worth_is_counted_on_records_to_learn_from_and_on_held_out_ones(tmp_path: Path, task: Task) -> None:
    student = network(task, seed=1)
    whole = anatomy(student)
    work = ImportanceWork(normalisation=normalisation(task), blocks=len(whole.blocks), heads=whole.heads, inner=whole.inner)
    bench = home(tmp_path / "a", task)
    found = named(work, task, bench.perform(work, student_blob(task), 5).counters)
    assert (found["eval_records"].tolist(), found["taylor_records"].tolist()) == ([21], [40])
    assert found["taylor_inner"].max() > 0
    wrong = work.model_copy(update={"inner": whole.inner + 1})
    with pytest.raises(ProtocolError, match="counts other blocks, heads or channels"):
        bench.perform(wrong, student_blob(task), 5)


def test_a_pruned_student_is_healed_by_rounds_like_others_with_projections_of_its_own(tmp_path: Path) -> None:
    bench = home(tmp_path / "a")
    for version in (0, 1):
        bench.perform(train_work(version=version), student_blob(), version + 1)
    shape = SMALL.model_copy(update={"depth": 1, "inner": 6, "head_width": 4, "heads": 1})
    pruned = network(TABLE, shape)
    work = train_work(version=2).model_copy(update={"student": shape, "begun": 2})
    blob = save({"vector": to_vector(pruned)})
    done = bench.perform(work, blob, 4)
    assert done.update is not None
    assert done.update.shape == to_vector(pruned).shape
    assert np.abs(done.update).max() > 0
    again = bench.perform(work.model_copy(update={"version": 3}), blob, 5)
    assert again.update is not None
    assert not (again.update == done.update).all()
    # After a restart the first of them is still the same.
    assert same(home(tmp_path / "a").perform(work, blob, 4), done)


def test_a_shape_that_has_not_the_numbers_that_came_is_refused(tmp_path: Path) -> None:
    huge = SMALL.model_copy(update={"inner": 65_536, "head_width": 4096})
    work = train_work(version=1).model_copy(update={"student": huge, "begun": 1})
    with pytest.raises(ProtocolError, match="has more than the"):
        home(tmp_path / "a").perform(work, student_blob(), 1)
