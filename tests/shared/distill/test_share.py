"""Parts of a batch are all of it, one process alone adds nothing up, and nobody is waited for without an end."""

from __future__ import annotations

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
