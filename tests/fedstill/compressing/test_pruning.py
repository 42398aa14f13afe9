"""Back from a cut that went too far: everything in the folder and in the manifest is of the student before it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fedstill.compressing.pruning import STAGE, UNDONE, undo_last_cut
from fedstill.compressing.work import GRAPH_FILE, PRUNED_FILE, Work
from fedstill.report.compressed import Cut, Stage
from shared.compress.export import export_float
from shared.models import count_parameters, load_model, save_model
from shared.settings import NetworkSettings
from tests.support.networks import network

STUDENTS = [network(settings=NetworkSettings(width=8, depth=depth, heads=2, inner=16)) for depth in (3, 2, 1)]


def graph(name, content, student, file):
    assert file.read_bytes() == content
    return Stage(name=name, accuracy=0.5, macro_f1=0.5, parameters=count_parameters(student), bytes=len(content))


def cut(name, *, accepted):
    return Cut(name=name, before=0.5, accuracy=0.5, parameters=1, device_ms=None, accepted=accepted, reason="" if accepted else "too much")


@pytest.fixture
def work(tmp_path):
    """Two cuts were kept, between them one was not, and what is left has learnt on since."""
    first, second, third = STUDENTS
    original = export_float(first, first.task)
    done = Work(SimpleNamespace(folder=tmp_path, healing_epochs=2), None, None, SimpleNamespace(graph=graph), third, original)
    done.before = [first, second]
    done.cuts = [cut("1 of 3 blocks", accepted=True), cut("heads 2→1", accepted=False), cut("1 of 2 blocks", accepted=True)]
    done.changes = ["pruned (1 of 3 blocks, 1 of 2 blocks), each healed by 2 epochs of distillation", "learnt on for 1 epochs"]
    save_model(tmp_path / PRUNED_FILE, third)
    (tmp_path / GRAPH_FILE).write_bytes(export_float(third, third.task))
    done.stages = [graph(STAGE, (tmp_path / GRAPH_FILE).read_bytes(), third, tmp_path / GRAPH_FILE)]
    return done


def test_the_student_before_the_last_kept_cut_is_back(work, tmp_path):
    undo_last_cut(work)
    assert work.student is STUDENTS[1]
    assert load_model(tmp_path / PRUNED_FILE).settings == STUDENTS[1].settings
    assert (tmp_path / GRAPH_FILE).read_bytes() == export_float(STUDENTS[1], STUDENTS[1].task)
    assert [(one.accepted, one.reason) for one in work.cuts] == [(True, ""), (False, "too much"), (False, UNDONE)]
    assert work.changes == [
        "pruned (1 of 3 blocks), each healed by 2 epochs of distillation; undone, as the gate refused their files: 1 of 2 blocks"
    ]
    assert [stage.parameters for stage in work.stages] == [count_parameters(STUDENTS[1])]


def test_the_last_way_back_is_the_student_that_came_in(work, tmp_path):
    undo_last_cut(work)
    undo_last_cut(work)
    assert work.student is STUDENTS[0]
    assert not (tmp_path / PRUNED_FILE).exists()
    assert (tmp_path / GRAPH_FILE).read_bytes() == work.original
    assert work.changes == ["not pruned; undone, as the gate refused their files: 1 of 3 blocks, 1 of 2 blocks"]
    assert work.stages == []
    with pytest.raises(IndexError):
        undo_last_cut(work)
