"""Other tools that quantise a student, each in an environment of its own: none may change what ours has.

- ``FEDSTILL_NNCF_PYTHON`` is the Python of a virtual environment with nncf, onnx and onnxruntime (``pip install nncf onnx onnxruntime``);
  it needs no torch for ONNX files.
- ``FEDSTILL_TORCHAO_PYTHON`` is that of one with torchao and the torch that fedstill has (``pip install torch==2.13.0 torchao==0.18.0 onnx
  onnxscript numpy``; the CPU build will do). What runs in torch is measured there; inductor wants a C++ compiler.

What is not there, or fails, is said on stderr and left out of the figures.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.compress import runtime
from shared.compress.trace import quiet
from shared.data.records import Records
from shared.errors import ArtifactError

NNCF, TORCHAO = "FEDSTILL_NNCF_PYTHON", "FEDSTILL_TORCHAO_PYTHON"
LIMIT_S = 1800
_ROOT = Path(__file__).parents[1]


class InTorch(NamedTuple):
    """What torchao makes: an ONNX file, where that works, and ``accuracy`` and ``ms`` of each way that runs in torch."""

    content: bytes | None
    figures: Mapping[str, Mapping[str, float]]


def by_nncf(content: bytes, inputs: NDArray[Any], folder: Path, *, transformer: bool) -> bytes | None:
    """The file that nncf makes of a float graph, calibrated on ``inputs``; None, with the reason on stderr, where there is none."""
    given, records, made = folder / "nncf-given.onnx", folder / "nncf-inputs.npy", folder / "nncf-made.onnx"
    given.write_bytes(content)
    np.save(records, inputs)
    arguments = ["-m", "benchmarks.nncf_side", str(given), str(records), str(made), *(["transformer"] if transformer else [])]
    reason = _failed(NNCF, arguments)
    if reason is not None:
        _say("nncf", reason)
        return None
    return _loadable("nncf", made)


def by_torchao(student: nn.Module, inputs: NDArray[Any], test: Records, folder: Path) -> InTorch:
    """What torchao makes of a student, calibrated on ``inputs``; what it does not make is said on stderr, with the reason."""
    program, records, made, found = (folder / f"torchao-{name}" for name in ("given.pt2", "records.npz", "made.onnx", "found.json"))
    if TORCHAO not in os.environ:
        _say("torchao", f"{TORCHAO} is not set")
        return InTorch(None, {})
    try:
        save_program(student, inputs, program)
    except Exception as error:  # torch's exporter raises many kinds
        _say("torchao", f"the student cannot be exported: {type(error).__name__}: {error}".partition("\n")[0])
        return InTorch(None, {})
    np.savez(records, known=inputs, test=test.inputs, labels=test.labels)
    reason = _failed(TORCHAO, ["-m", "benchmarks.torchao_side", *map(str, (program, records, made, found))])
    if reason is not None:
        _say("torchao", reason)
    figures, reasons = _answer(found)
    for way, why in reasons.items():
        _say(way, why)
    silent = reason is not None or "torchao" in reasons
    return InTorch(_loadable("torchao", made, silent=silent), figures)


def save_program(student: nn.Module, inputs: NDArray[Any], path: Path) -> None:
    """The student's ``torch.export`` program, its batch dynamic. Raises what torch's exporter raises."""
    was_training = student.training
    student.eval()
    try:
        with quiet(), torch.no_grad():
            shapes = ({0: torch.export.Dim("batch")},)
            # Strictly: the quantiser goes by what only that writes down, and else quantises nothing (pytorch/ao, issue 3914).
            program = torch.export.export(student, (torch.from_numpy(inputs[:3]),), dynamic_shapes=shapes, strict=True)
            torch.export.save(program, path)
    finally:
        student.train(was_training)


def _failed(variable: str, arguments: list[str]) -> str | None:
    """Runs a side in its Python; why it did not end well, None where it did."""
    if variable not in os.environ:
        return f"{variable} is not set"
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    command = [*shlex.split(os.environ[variable]), *arguments]
    try:
        done = subprocess.run(command, env=environment, cwd=_ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"it took more than {LIMIT_S} seconds"
    except OSError as error:
        return f"it cannot be started: {error}"
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
    return None


def _answer(found: Path) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The figures and the reasons that torchao's side wrote down, of as many ways as it came to."""
    try:
        answer = json.loads(found.read_text())
        figures = {way: {name: float(one[name]) for name in ("accuracy", "ms")} for way, one in answer["figures"].items()}
        return figures, {str(way): str(why) for way, why in answer["reasons"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        _say("torchao in torch", "it wrote down no figures")
        return {}, {}


def _loadable(peer: str, made: Path, *, silent: bool = False) -> bytes | None:
    """What a side made, where this machine's runtime loads it; ``silent`` where it is already said why there is nothing."""
    if not made.is_file():
        if not silent:
            _say(peer, "it made no file")
        return None
    content = made.read_bytes()
    try:
        runtime.session(content)
    except ArtifactError as error:
        _say(peer, f"what it made does not load: {error}")
        return None
    return content


def _say(peer: str, reason: str) -> None:
    print(f"without {peer}: {reason}", file=sys.stderr, flush=True)
