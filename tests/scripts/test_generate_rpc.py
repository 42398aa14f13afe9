"""What is committed is what the generator writes."""

from __future__ import annotations

import sys

import pytest

from scripts import generate_rpc


def test_generated_code_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["generate_rpc.py", "--check"])
    assert generate_rpc.main() == 0


def test_stale_code_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(sys, "argv", ["generate_rpc.py", "--check"])
    monkeypatch.setattr(generate_rpc, "TARGET", tmp_path)
    assert generate_rpc.main() == 1
