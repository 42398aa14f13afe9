"""This machine in one line, for reports and benchmarks: figures without it mean little."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def describe_machine() -> str:
    """Processor, cores, Python and the versions that matter."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "onnxruntime", "flwr"))
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
