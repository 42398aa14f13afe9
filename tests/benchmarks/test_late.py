"""A module is changed once somebody imports it, and no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks.late import when_imported


def test_a_named_module_is_loaded_and_then_changed_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("late_one", "late_two"):
        (tmp_path / f"{name}.py").write_text("value = 1\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    when_imported({"late_one": lambda module: setattr(module, "value", module.value + 1)})
    assert "late_one" not in sys.modules
    assert [importlib.import_module(name).value for name in ("late_one", "late_two")] == [2, 1]
