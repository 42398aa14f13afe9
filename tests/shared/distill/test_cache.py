"""The teacher is asked once, its answers are kept privately, a kill costs a chunk, and nothing stale is ever used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.data.records import Records
from shared.distill import cache as module
from shared.distill import stored
from shared.distill.cache import cached_targets, size_of
from shared.distill.targets import LiveTargets, Order, Targets, live_targets
from shared.distill.views import Views
from shared.errors import EmptyInstitutionError
from shared.models.features import Features
from shared.task import Task, TextTask
from shared.teachers.own import OwnTeacher
from shared.teachers.teacher import Teacher
from tests.support.networks import IMAGES, LARGE, TABLE, network, records

ORDER = Order(hidden=(0, 2), attentions=(1, 2))
TEXT = TextTask(family="text", labels=("a", "b"), tokenizer_sha256="0" * 64, vocabulary=50, max_tokens=12)


def kept(
    folder: Path, teacher: Teacher, examples: Records, task: Task = TABLE, order: Order = ORDER, views: int = 1, seed: int = 0
) -> Targets:
    return cached_targets(folder, teacher, examples, Views(task, views, seed), order, limit_mb=10)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def equal(one: Features, other: Features) -> bool:
    tensors = zip((one.logits, *one.hidden_states, *one.attentions), (other.logits, *other.hidden_states, *other.attentions), strict=True)
    return all(torch.equal(a, b) for a, b in tensors)


class Words:
    """A teacher of texts: each batch is padded to its own longest text."""

    digest, layers, parameters = "1" * 64, 1, 0

    def __init__(self) -> None:
        self.asked = 0

    def longest(self, records: Records) -> int:
        assert records.texts is not None
        return max(len(text.split()) for text in records.texts.tolist())

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        assert records.texts is not None
        self.asked += len(records)
        counts = torch.tensor([len(text.split()) for text in records.texts.tolist()])
        mask = torch.arange(int(counts.max())) < counts[:, None]
        state = mask.to(torch.float32)[:, :, None] * counts[:, None, None]
        maps = (mask[:, None, None, :] / counts[:, None, None, None]).expand(-1, 1, mask.shape[1], -1)
        logits = torch.stack([counts, -counts], dim=1).to(torch.float32)
        return Features(logits, tuple(state for _ in hidden), tuple(maps for _ in attentions), mask)


def words(count: int = 20) -> Records:
    texts = np.array([" ".join(["word"] * (1 + place % 7)) for place in range(count)])
    return Records(np.zeros((count, 12), np.int32), np.zeros(count, np.int64), texts)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
@pytest.mark.parametrize("order", [ORDER, Order(), Order(hidden=(2,), top_k=1)])
def test_kept_targets_are_the_live_ones(tmp_path: Path, task: Task, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "CHUNK", 16)
    teacher, examples, views = OwnTeacher(network(task, LARGE)), records(task, 37), Views(task, 3, seed=2)
    found = cached_targets(tmp_path, teacher, examples, views, order, limit_mb=10)
    live = live_targets(teacher, examples, views, order)
    for view in range(3):
        for rows in (torch.arange(37), torch.tensor([36, 1, 1, 20])):
            one, other = found.take(rows, view), live.take(rows, view)
            torch.testing.assert_close(one.logits, other.logits, rtol=2e-3, atol=2e-3)
            for a, b in zip((*one.hidden_states, *one.attentions), (*other.hidden_states, *other.attentions), strict=True):
                torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)
    assert not equal(found.take(torch.arange(37), 0), found.take(torch.arange(37), 1))


def test_the_folder_is_private_spares_the_teacher_and_takes_what_was_announced(tmp_path: Path) -> None:
    teacher, examples, order = Words(), words(), Order(hidden=(0, 1), attentions=(1,))
    announced = size_of(teacher, examples, Views(TEXT, 2), order)
    assert not list(tmp_path.iterdir())
    first = kept(tmp_path, teacher, examples, TEXT, order, views=2).take(torch.arange(20))
    asked = teacher.asked
    (home,) = tmp_path.iterdir()
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    assert sum(path.stat().st_size for path in home.glob("*.bin")) == announced
    assert equal(kept(tmp_path, teacher, examples, TEXT, order, views=2).take(torch.arange(20)), first)
    # One record to learn the shapes; the rest is there.
    assert teacher.asked == asked + 1


def test_texts_are_kept_to_the_length_of_the_longest(tmp_path: Path) -> None:
    found = kept(tmp_path, Words(), words(), TEXT, Order(hidden=(0, 1), attentions=(1,))).take(torch.arange(20))
    assert found.mask is not None
    assert found.mask.shape == (20, 7)
    assert found.mask.sum(dim=1).tolist() == [1 + place % 7 for place in range(20)]
    assert found.hidden_states[0].shape == (20, 7, 1)
    assert found.attentions[0].shape == (20, 1, 7, 7)
    torch.testing.assert_close(found.attentions[0][:, 0, 0].sum(dim=1), torch.ones(20), rtol=2e-3, atol=2e-3)


def test_whatever_the_targets_depend_on_makes_them_anew_and_removes_the_old(tmp_path: Path) -> None:
    (tmp_path / "targets-0123.safetensors").write_bytes(b"an earlier release's")
    (tmp_path / "alignment-v00001.safetensors").write_bytes(b"someone else's")
    one, two = OwnTeacher(network(TABLE, LARGE, seed=1)), OwnTeacher(network(TABLE, LARGE, seed=2))
    examples, others = records(TABLE, 9), records(TABLE, 9, seed=1)
    makes = [
        lambda: kept(tmp_path, one, examples),
        lambda: kept(tmp_path, two, examples),
        lambda: kept(tmp_path, two, others),
        lambda: kept(tmp_path, two, others, order=Order(hidden=(0,))),
        lambda: kept(tmp_path, two, others, order=Order(hidden=(1,))),
        lambda: kept(tmp_path, two, others, order=Order(top_k=1)),
        lambda: kept(tmp_path, two, others, views=2),
        lambda: kept(tmp_path, two, others, views=2, seed=3),
    ]
    seen = set()
    for make in makes:
        make()
        (home,) = tmp_path.glob("targets-*")
        assert home.is_dir()
        seen.add(home.name)
    assert len(seen) == len(makes)
    assert (tmp_path / "alignment-v00001.safetensors").exists()


def test_other_texts_of_equal_tokens_are_other_records(tmp_path: Path) -> None:
    kept(tmp_path, Words(), words(), TEXT)
    (one,) = tmp_path.iterdir()
    changed = words()
    assert changed.texts is not None
    kept(tmp_path, Words(), Records(changed.inputs, changed.labels, changed.texts[::-1]), TEXT)
    (other,) = tmp_path.iterdir()
    assert one != other


class Killed(Exception):
    """Stands for a power cut."""


@given(stop=st.integers(0, 11), torn=st.booleans())
def test_a_killed_run_goes_on_and_leaves_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, stop: int, torn: bool) -> None:
    whole, broken = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    teacher, examples = OwnTeacher(network(TABLE, LARGE)), records(TABLE, 37)
    calls: list[int] = []

    def at_chunk(done: int, total: int) -> None:
        assert total == 6
        calls.append(done)
        if done == stop:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "CHUNK", 16)
        live = live_targets(teacher, examples, Views(TABLE, 2, seed=2), ORDER)
        module.stored_targets(whole, live)
        try:
            module.stored_targets(broken, live, on_chunk=at_chunk)
        except Killed:
            if torn:
                # Half a chunk that no marker speaks of.
                for path in broken.rglob("logits.bin"):
                    path.write_bytes((path.read_bytes() + b"torn")[: 4 * 37 * 2])
        calls.clear()
        module.stored_targets(broken, live, on_chunk=lambda done, total: calls.append(done))
    assert content(broken) == content(whole)
    assert calls[0] == (min(stop, 6) if stop <= 6 else 6)


CHILD = """
import os, signal, sys
from pathlib import Path
from shared.distill import stored
from shared.distill.cache import stored_targets
from shared.distill.targets import live_targets
from shared.distill.views import Views
from tests.shared.distill.test_cache import ORDER, OwnTeacher
from tests.support.networks import LARGE, TABLE, network, records
stored.CHUNK = 16
live = live_targets(OwnTeacher(network(TABLE, LARGE)), records(TABLE, 37), Views(TABLE, 2, seed=2), ORDER)
stored_targets(Path(sys.argv[1]), live, on_chunk=lambda done, total: done == int(sys.argv[2]) and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_process_that_is_killed_goes_on_in_the_next(tmp_path: Path) -> None:
    def child(folder: Path, stop: int) -> int:
        script = f"import sys; sys.path[:0] = {sys.path!r}\n{CHILD}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-c", script, str(folder), str(stop)], timeout=120, env=environment, check=False).returncode

    assert [child(tmp_path / "broken", stop) for stop in (2, 4, 7)] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert child(tmp_path / "whole", 7) == 0
    assert content(tmp_path / "broken") == content(tmp_path / "whole")
    assert len(content(tmp_path / "whole")) == 8


@pytest.mark.parametrize("name", ["logits.bin", "hidden-000.bin", "card.json", "checksums.crc"])
@pytest.mark.parametrize("change", [lambda old: old[:-1], lambda old: old + b"x", lambda old: b""])
def test_damaged_files_are_made_again_and_said_once(tmp_path: Path, name: str, change: object) -> None:
    assert callable(change)
    teacher, examples, lines = OwnTeacher(network(TABLE, LARGE)), records(TABLE, 9), list[str]()
    kept(tmp_path, teacher, examples)
    whole = content(tmp_path)
    (home,) = tmp_path.iterdir()
    (home / name).write_bytes(change((home / name).read_bytes()))
    cached_targets(tmp_path, teacher, examples, Views(TABLE, 1, 0), ORDER, limit_mb=10, say=lines.append)
    assert lines == [f"the teacher's targets in {home} are damaged; they are made again"]
    assert content(tmp_path) == whole


@pytest.mark.parametrize("marker", [b"", b"{", b'{"chunks":8}', b'{"chunks":-1}'])
def test_a_damaged_marker_starts_them_anew(tmp_path: Path, marker: bytes) -> None:
    teacher, examples, lines = OwnTeacher(network(TABLE, LARGE)), records(TABLE, 9), list[str]()
    kept(tmp_path, teacher, examples)
    whole = content(tmp_path)
    (home,) = tmp_path.iterdir()
    (home / "progress.json").write_bytes(marker)
    cached_targets(tmp_path, teacher, examples, Views(TABLE, 1, 0), ORDER, limit_mb=10, say=lines.append)
    assert len(lines) == 1
    assert content(tmp_path) == whole


@given(st.data())
def test_a_flipped_bit_costs_its_chunk_and_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder, lines, asked = tmp_path_factory.mktemp("flipped"), list[str](), list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "CHUNK", 16)
        live = live_targets(OwnTeacher(network(TABLE, LARGE)), records(TABLE, 37), Views(TABLE, 2, seed=2), ORDER)
        module.stored_targets(folder, live)
        whole = content(folder)
        name = data.draw(st.sampled_from([name for name in whole if name.endswith((".bin", ".crc"))]))
        changed = bytearray(whole[name])
        place = data.draw(st.integers(0, 8 * len(changed) - 1))
        changed[place // 8] ^= 1 << place % 8
        (folder / name).write_bytes(changed)
        stop = data.draw(st.booleans())
        try:
            # Killed before the chunk is made, it is found again.
            module.stored_targets(folder, live, on_chunk=_stopping(stop))
        except Killed:
            assert content(folder)[name] == bytes(changed)
        module.stored_targets(folder, live, say=lines.append, on_chunk=lambda done, total: asked.append(done))
        assert content(folder) == whole
        assert asked == ([5, 6] if stop else [6])
        assert len(lines) == stop
        assert all("1 of 6 parts" in line for line in lines)


def _stopping(stop: bool) -> Callable[[int, int], None]:
    def at_chunk(done: int, total: int) -> None:
        if stop:
            raise Killed

    return at_chunk


def test_targets_that_would_not_fit_are_asked_for_each_time_and_said(tmp_path: Path) -> None:
    lines: list[str] = []
    teacher, examples = OwnTeacher(network(TABLE, LARGE)), records(TABLE, 9)
    found = cached_targets(tmp_path, teacher, examples, Views(TABLE), ORDER, limit_mb=0, say=lines.append)
    assert isinstance(found, LiveTargets)
    assert not list(tmp_path.iterdir())
    (line,) = lines
    assert "cache_limit_mb = 0" in line


def test_no_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyInstitutionError):
        kept(tmp_path, OwnTeacher(network(TABLE, LARGE)), records(TABLE, 9).take(np.array([], np.int64)))
