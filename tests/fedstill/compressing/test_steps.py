from __future__ import annotations

import numpy as np
import torch

from fedstill.compressing.steps import STEPS_FOLDER, Steps, left_unfinished, step_name
from shared.models.checkpoint import model_bytes
from tests.support.networks import network, records

RANGES = {"hidden": (0.0, 1.5), "logits": (-0.1, 2.0 / 3.0)}


def never():
    raise AssertionError("a kept step is not made again")


def test_a_step_is_made_once_and_is_the_same_for_the_next_process(tmp_path):
    made = network()
    assert Steps(tmp_path).student("a", lambda: made) is made
    later = Steps(tmp_path)
    assert model_bytes(later.student("a", never)) == model_bytes(made)
    assert later.reused == 1


def test_learnt_ranges_are_kept_to_the_last_bit(tmp_path):
    Steps(tmp_path).student_with_ranges("a", lambda: (network(), RANGES))
    assert Steps(tmp_path).student_with_ranges("a", never)[1] == RANGES


def test_a_step_that_was_not_kept_whole_is_made_again(tmp_path):
    other = network(seed=2)
    Steps(tmp_path).student("a", network)
    Steps(tmp_path).student("b", network)
    (tmp_path / STEPS_FOLDER / "a.json").unlink()
    (tmp_path / STEPS_FOLDER / "b.safetensors").write_bytes(b"half")
    steps = Steps(tmp_path)
    assert steps.student("a", lambda: other) is steps.student("b", lambda: other) is other
    assert steps.reused == 0
    assert model_bytes(Steps(tmp_path).student("b", never)) == model_bytes(other)


def test_steps_are_their_owners_alone(tmp_path):
    Steps(tmp_path).student("a", network)
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / STEPS_FOLDER).iterdir())


def test_what_was_scratch_when_the_command_was_killed_goes(tmp_path):
    left = tmp_path / STEPS_FOLDER / "scratch-left"
    left.mkdir(parents=True)
    (left / "answers").touch()
    with Steps(tmp_path).scratch() as name:
        assert not left.exists()
        assert left_unfinished(tmp_path)
    assert name not in [str(entry) for entry in (tmp_path / STEPS_FOLDER).iterdir()]
    Steps(tmp_path).finished()
    assert not left_unfinished(tmp_path)


def test_a_step_is_named_by_all_that_it_depends_on():
    student, other, learn = network(), network(), records(count=20)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    changed = type(learn)(learn.inputs, np.roll(learn.labels, 1))
    given = [
        step_name(student, learn, "teacher", "epochs 1", "seed"),
        step_name(other, learn, "teacher", "epochs 1", "seed"),
        step_name(student, learn.take(np.arange(19)), "teacher", "epochs 1", "seed"),
        step_name(student, changed, "teacher", "epochs 1", "seed"),
        step_name(student, learn, "another", "epochs 1", "seed"),
        step_name(student, learn, "teacher", "epochs 2", "seed"),
        step_name(student, learn, "teacher", "epochs 1seed"),
    ]
    assert len(set(given)) == len(given)
    assert step_name(network(), records(count=20), "teacher", "epochs 1", "seed") == given[0]
