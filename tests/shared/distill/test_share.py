"""Parts of a batch are all of it, one process alone adds nothing up, and nobody is waited for without an end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.share import ALONE, Share, joined_share
from shared.errors import RunError
from shared.models.device import CPU


@given(st.integers(1, 30), st.integers(1, 8))
def test_the_parts_of_all_processes_are_the_batch(records: int, count: int) -> None:
    rows = torch.arange(records)
    parts = [Share(rank, count).part(rows) for rank in range(count)]
    assert torch.equal(torch.cat(parts), rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_nothing_is_added() -> None:
    tensor = torch.ones(3)
    ALONE.add_up(tensor)
    assert torch.equal(tensor, torch.ones(3))
    assert ALONE.total(0.1, CPU) == 0.1


def test_who_waits_in_vain_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="did not meet the others within 1 s"), joined_share(0, 2, tmp_path / "meeting", CPU, wait_s=1.0):
        pytest.fail("there is nobody to meet")


def test_who_watches_the_others_need_not_wait_for_them(tmp_path: Path) -> None:
    looks = iter((None, None, RunError("process 1 is dead")))

    def watch() -> None:
        if (error := next(looks)) is not None:
            raise error

    with pytest.raises(RunError, match="process 1 is dead"), joined_share(0, 2, tmp_path / "meeting", CPU, wait_s=1e6, watch=watch):
        pytest.fail("there is nobody to meet")


def test_those_who_come_meet_and_add_up(tmp_path: Path) -> None:
    def take_part(rank: int) -> float:
        with joined_share(rank, 3, tmp_path / "meeting", CPU, wait_s=60.0) as share:
            return share.total(float(10**rank), CPU)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(take_part, range(3))) == [111.0] * 3
