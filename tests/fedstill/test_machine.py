"""A machine in a line."""

from __future__ import annotations

import platform

from fedstill.machine import describe_machine


def test_the_line_names_what_figures_depend_on() -> None:
    line = describe_machine()
    assert "cores" in line
    assert f"Python {platform.python_version()}" in line
    assert all(name in line for name in ("torch", "onnxruntime", "flwr"))
    assert "\n" not in line
