from __future__ import annotations

import pytest
import torch

from shared.compress import latency
from shared.compress.latency import median_seconds, onnx_latencies, onnx_latency, torch_latency


def test_warm_up_does_not_count():
    calls: list[int] = []
    assert median_seconds(lambda: calls.append(1), repeats=5, warm_up=3) >= 0
    assert len(calls) == 8


def test_both_runtimes_give_a_time_and_leave_all_as_it_was(table_net, table_onnx, table_rows):
    threads = torch.get_num_threads()
    table_net.train()
    assert 0 < onnx_latency(table_onnx, table_rows, repeats=3) < 10
    assert 0 < torch_latency(table_net, table_rows, repeats=3) < 10
    assert table_net.training
    assert torch.get_num_threads() == threads
    table_net.eval()


def test_files_that_are_compared_take_turns_and_a_busy_moment_spoils_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    busy = {3: 5.0}

    def timed(content, inputs, *, repeats):
        asked.append(content)
        return {b"a": 1.0, b"b": 2.0}[content] * busy.get(len(asked), 1.0)

    monkeypatch.setattr(latency, "onnx_latency", timed)
    assert onnx_latencies({"one": b"a", "other": b"b"}, None, turns=2) == {"one": 1.0, "other": 2.0}
    assert asked == [b"a", b"b", b"a", b"b"]
