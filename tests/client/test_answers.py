"""Rounds of answers at one institution: its own student in its own shape, and what leaves it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.training import Contribution, Workbench
from shared.answers import bounded, consensus_blob, flattened, inputs_digest, table_of
from shared.config import InstitutionConfig
from shared.data import Split, save_arrays
from shared.data.proxy import generated_proxy
from shared.distill import evaluate
from shared.distill.resume import Resume
from shared.distill.teacher import save_teacher
from shared.errors import NotFiniteError, ProtocolError
from shared.models import build, load_vector, to_vector
from shared.models.network import predict_logits
from shared.models.seeds import derive
from shared.settings import DistillationSettings, NetworkSettings, ProxyTerms, TrainingSettings
from shared.sources import ArrayData
from shared.task import Task
from shared.work import FIXED_POINT, AnswerWork, CalibrateRangeWork
from tests.client.test_training import batches, named, same
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, TEXTS, inputs, network, normalisation, records

COUNT = 12
WIDE = NetworkSettings(width=12, depth=1, heads=2)


def config_of(folder: Path, task: Task = TABLE, student: NetworkSettings = SMALL, name: str = "ash") -> InstitutionConfig:
    return InstitutionConfig(name=name, task=task, data=ArrayData(source="arrays", path=folder / "records.npz"), student=student)


def home(folder: Path, task: Task = TABLE, student: NetworkSettings = SMALL) -> Workbench:
    if not folder.exists():
        save_arrays(folder / "records.npz", Split(records(task, 40, seed=1), records(task, 21, seed=2)))
        save_teacher(folder / "teacher", network(task, LARGE, seed=9))
    return Workbench(config_of(folder, task, student), folder)


def public(task: Task) -> np.ndarray[Any, Any]:
    return inputs(task, COUNT, seed=6)


def answer_work(task: Task = TABLE, version: int = 0, **changed: Any) -> AnswerWork:
    work = AnswerWork(
        version=version,
        seed=7,
        normalisation=normalisation(task),
        training=TrainingSettings(epochs=2, batch_size=16),
        distillation=DistillationSettings(),
        proxy=ProxyTerms(bound=4.0),
        records=COUNT,
        proxy_sha256=inputs_digest(public(task)),
    )
    return work.model_copy(update=changed)


def blob(task: Task = TABLE, value: float = 0.0) -> bytes:
    table = np.zeros((COUNT, len(task.labels)), np.float32)
    table[:, 0] = value
    return consensus_blob(flattened(bounded(table, 8.0)), public(task))


def first_student(task: Task, student: NetworkSettings) -> Any:
    return build(student, task, normalisation(task), seed=derive(7, "ash", 7, "own student"))


def kept(folder: Path, task: Task, student: NetworkSettings, version: int) -> Any:
    """The institution's own student after a version, from its private file."""
    from safetensors.numpy import load

    model = build(student, task, normalisation(task), seed=0)
    (vector,) = load((folder / "state" / f"own-student-v{version:05d}.safetensors").read_bytes()).values()
    load_vector(model, vector)
    return model


@pytest.mark.parametrize("shape", [SMALL, WIDE])
@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
def test_a_round_evaluates_the_own_student_teaches_it_and_answers_with_it(tmp_path: Path, task: Task, shape: NetworkSettings) -> None:
    work = answer_work(task)
    found = home(tmp_path / "a", task, shape).perform(work, blob(task), 3)
    counters = named(work, task, found.counters)
    before = evaluate(first_student(task, shape), records(task, 21, seed=2), len(task.labels))
    assert (counters["eval_confusion"] == before.confusion.reshape(-1)).all()
    assert counters["eval_loss"][0] == round(before.loss * 21 * FIXED_POINT)
    assert counters["train_records"].tolist() == [40]
    learnt = kept(tmp_path / "a", task, shape, 1)
    assert to_vector(learnt).tobytes() != to_vector(first_student(task, shape)).tobytes()
    assert found.update is not None
    np.testing.assert_array_equal(found.update, flattened(bounded(predict_logits(learnt, public(task)), 4.0)))
    assert found.weight == 40


def test_the_update_is_what_leads_from_the_consensus_to_the_own_answers(tmp_path: Path) -> None:
    found = home(tmp_path / "a").perform(answer_work(version=1), blob(value=3.0), 1)
    learnt = kept(tmp_path / "a", TABLE, SMALL, 2)
    consensus = flattened(bounded(np.tile(np.array([3.0, 0.0], np.float32), (COUNT, 1)), 8.0))
    assert found.update is not None
    np.testing.assert_allclose(table_of(consensus + found.update, 2), bounded(predict_logits(learnt, public(TABLE)), 4.0), atol=1e-5)


def test_no_consensus_is_learnt_from_before_anyone_has_answered(tmp_path: Path) -> None:
    first, other = (home(tmp_path / name).perform(answer_work(), blob(value=value), 1) for name, value in (("a", 0.0), ("b", 3.0)))
    assert named(answer_work(), TABLE, first.counters)["train_loss"] == named(answer_work(), TABLE, other.counters)["train_loss"]
    later, changed = (
        home(tmp_path / name).perform(answer_work(version=1), blob(value=value), 2) for name, value in (("a", 0.0), ("b", 3.0))
    )
    assert named(answer_work(), TABLE, later.counters)["train_loss"] != named(answer_work(), TABLE, changed.counters)["train_loss"]


def test_the_own_student_goes_on_and_the_same_round_gives_the_same_bits(tmp_path: Path) -> None:
    one = home(tmp_path / "a")
    first = one.perform(answer_work(), blob(), 1)
    second = one.perform(answer_work(version=1), blob(value=1.0), 2)
    assert same(one.perform(answer_work(version=1), blob(value=1.0), 2), second)
    assert same(home(tmp_path / "a").perform(answer_work(version=1), blob(value=1.0), 2), second)
    assert same(home(tmp_path / "b").perform(answer_work(), blob(), 1), first)
    for path in (tmp_path / "a" / "state").glob("own-student*"):
        path.unlink()
    assert not same(home(tmp_path / "a").perform(answer_work(version=1), blob(value=1.0), 2), second), "it starts anew"


@pytest.mark.parametrize("die_at", [0, 1, 3, 5])
def test_a_killed_round_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int) -> None:
    monkeypatch.setattr("client.training.Resume", functools.partial(Resume, interval_s=0.0))
    whole: list[Contribution] = []
    for name in ("a", "b"):
        home(tmp_path / name).perform(answer_work(), blob(), 1)
    work = answer_work(version=1)
    assert batches(lambda: whole.append(home(tmp_path / "a").perform(work, blob(value=1.0), 2))) == 6
    assert batches(lambda: home(tmp_path / "b").perform(work, blob(value=1.0), 2), die_at) == die_at
    assert batches(lambda: whole.append(home(tmp_path / "b").perform(work, blob(value=1.0), 2))) == 6 - die_at
    assert same(*whole)


def test_generated_records_are_answered_without_being_sent(tmp_path: Path) -> None:
    rows = generated_proxy(TABLE, normalisation(TABLE), COUNT, 0.2, seed=7)
    work = answer_work(generated=True, missing=0.2, proxy_sha256=inputs_digest(rows))
    vector = np.zeros(2 * COUNT, np.float32)
    found = home(tmp_path / "a").perform(work, consensus_blob(vector, None), 1)
    assert same(found, home(tmp_path / "b").perform(answer_work(proxy_sha256=work.proxy_sha256), consensus_blob(vector, rows), 1))


def test_the_published_student_may_have_another_shape_than_the_own(tmp_path: Path) -> None:
    student = network(TABLE, WIDE, seed=3)
    work = CalibrateRangeWork(normalisation=normalisation(TABLE), tensors=(), student=WIDE)
    found = home(tmp_path / "a").perform(work, consensus_blob(to_vector(student), None), 9)
    expected = evaluate(student, records(TABLE, 21, seed=2), 2)
    assert (named(work, TABLE, found.counters)["eval_confusion"] == expected.confusion.reshape(-1)).all()


# A coordinator that lies


def test_a_table_of_another_length_is_refused(tmp_path: Path) -> None:
    wrong = consensus_blob(np.zeros(2 * COUNT + 1, np.float32), public(TABLE))
    with pytest.raises(ProtocolError, match=r"a consensus over 12 records and 2 labels is float32 \(24,\), but float32 \(25,\) came"):
        home(tmp_path / "a").perform(answer_work(), wrong, 1)


def test_a_consensus_that_is_no_number_is_refused(tmp_path: Path) -> None:
    vector = np.zeros(2 * COUNT, np.float32)
    vector[3] = np.nan
    with pytest.raises(NotFiniteError, match="the consensus that came holds a NaN or an infinity"):
        home(tmp_path / "a").perform(answer_work(), consensus_blob(vector, public(TABLE)), 1)


@pytest.mark.parametrize(("generated", "how"), [(False, "that came"), (True, "generated here")])
def test_other_proxy_records_than_the_plan_names_are_refused(tmp_path: Path, generated: bool, how: str) -> None:
    other = consensus_blob(np.zeros(2 * COUNT, np.float32), inputs(TABLE, COUNT, seed=99))
    with pytest.raises(ProtocolError, match=f"the proxy records {how} are not those that the plan names"):
        home(tmp_path / "a").perform(answer_work(generated=generated), other, 1)


def test_records_that_did_not_come_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="did not come whole"):
        home(tmp_path / "a").perform(answer_work(), consensus_blob(np.zeros(2 * COUNT, np.float32), None), 1)
    with pytest.raises(ProtocolError, match="proxy records of family 'image' cannot be generated"):
        home(tmp_path / "b", IMAGES).perform(answer_work(IMAGES, generated=True), blob(IMAGES), 1)


def test_a_student_that_no_memory_holds_is_refused_before_it_is_made(tmp_path: Path) -> None:
    huge = NetworkSettings(width=4096, depth=64)
    work = CalibrateRangeWork(normalisation=normalisation(TABLE), tensors=(), student=huge)
    with pytest.raises(ProtocolError, match="a student of width 4096 and depth 64 has more than the 10 numbers that came"):
        home(tmp_path / "a").perform(work, consensus_blob(np.zeros(10, np.float32), None), 9)
