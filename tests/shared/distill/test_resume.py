"""A kept fit is read by the same fit alone, and a damaged file means a fresh start, never an error."""

from __future__ import annotations

import stat
from pathlib import Path

import torch

from shared.distill.resume import Resume

STATE = {"values": torch.arange(4.0), "steps": torch.tensor(3)}


def test_what_was_kept_comes_back_privately(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    Resume(path, "one").save(STATE)
    found = Resume(path, "one").load()
    assert found is not None
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_anothers_fit_and_a_damaged_file_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    assert Resume(path, "one").load() is None
    Resume(path, "one").save(STATE)
    assert Resume(path, "other").load() is None
    path.write_bytes(path.read_bytes()[:-5])
    assert Resume(path, "one").load() is None


def test_a_fit_is_kept_again_only_after_the_interval(tmp_path: Path) -> None:
    now = [0.0]
    resume = Resume(tmp_path / "fit.safetensors", "one", interval_s=10.0, clock=lambda: now[0])
    assert not resume.due()
    now[0] = 10.0
    assert resume.due()
    resume.save(STATE)
    assert not resume.due()
    resume.done()
    assert resume.load() is None
    resume.done()
