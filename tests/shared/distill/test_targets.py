"""The teacher is asked once, its answers are kept privately, and nothing stale is ever used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shared.distill import targets as module
from shared.distill.targets import LiveTargets, cached_targets, targets_of
from shared.errors import CheckpointError
from shared.models.features import Features, features
from shared.models.network import BATCH
from shared.task import Task
from tests.support.networks import IMAGES, LARGE, TABLE, inputs, network


def equal(one: Features, other: Features) -> bool:
    tensors = zip((one.logits, *one.hidden_states, *one.attentions), (other.logits, *other.hidden_states, *other.attentions), strict=True)
    return all(torch.equal(a, b) for a, b in tensors)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
@pytest.mark.parametrize("inside", [True, False])
def test_targets_are_the_teachers_features(task: Task, inside: bool) -> None:
    teacher, values, rows = network(task, LARGE), inputs(task, BATCH + 5), torch.tensor([BATCH + 2, 0, 3])
    found = targets_of(teacher, values, inside=inside).take(rows)
    with torch.no_grad():
        expected = features(teacher, torch.from_numpy(values)[rows])
    torch.testing.assert_close(found.logits, expected.logits)
    assert len(found.attentions) == (len(expected.attentions) if inside else 0)
    for one, other in zip(found.hidden_states, expected.hidden_states if inside else (), strict=True):
        torch.testing.assert_close(one, other)
    assert not found.logits.requires_grad


def test_targets_that_would_not_fit_are_asked_for_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "LARGEST_CACHE", 100)
    teacher, values = network(TABLE, LARGE), inputs(TABLE, 9)
    found = cached_targets(tmp_path, teacher, values, inside=True)
    assert isinstance(found, LiveTargets)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    rows = torch.arange(9)
    assert equal(found.take(rows), targets_of(teacher, values, inside=True).take(rows))


def test_the_file_gives_back_the_same_bits_and_spares_the_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, values, rows = network(IMAGES, LARGE), inputs(IMAGES, 9), torch.arange(9)
    first = cached_targets(tmp_path, teacher, values, inside=True).take(rows)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(module, "targets_of", None)
    assert equal(cached_targets(tmp_path, teacher, values, inside=True).take(rows), first)


def test_another_teacher_or_other_records_are_asked_anew_and_the_old_removed(tmp_path: Path) -> None:
    values = inputs(TABLE, 9)
    cached_targets(tmp_path, network(TABLE, LARGE, seed=1), values, inside=True)
    before = set(tmp_path.iterdir())
    cached_targets(tmp_path, network(TABLE, LARGE, seed=2), values, inside=True)
    after = set(tmp_path.iterdir())
    assert len(after) == 1
    assert not before & after
    cached_targets(tmp_path, network(TABLE, LARGE, seed=2), inputs(TABLE, 9, seed=1), inside=True)
    assert not after & set(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    teacher, values = network(TABLE, LARGE), inputs(TABLE, 9)
    cached_targets(tmp_path, teacher, values, inside=True)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=path.name):
        cached_targets(tmp_path, teacher, values, inside=True)
