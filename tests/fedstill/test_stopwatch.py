"""Parts of a run add up, also when one fails."""

from __future__ import annotations

import pytest

from fedstill import stopwatch
from fedstill.stopwatch import Stopwatch


def test_parts_add_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 3.0, 3.0, 8.0, 8.0, 9.0, 10.0])
    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: next(ticks))
    watch = Stopwatch()
    with watch.part("teach"):
        pass
    with watch.part("sum"):
        pass
    with pytest.raises(ValueError, match="no"), watch.part("teach"):
        raise ValueError("no")
    assert watch.parts == {"teach": 3.0, "sum": 5.0}
    assert watch.seconds == 10.0
