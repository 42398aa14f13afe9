"""Other tools that quantise a float ONNX file, each in an environment of its own, for none may bring another torch.

``FEDSTILL_NNCF_PYTHON`` is the Python of a virtual environment with nncf, onnx and onnxruntime (``pip install nncf onnx onnxruntime``; it
needs no torch for ONNX files). What is not there, or fails, is said on stderr and left out of the figures.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compress import runtime
from shared.errors import ArtifactError

NNCF = "FEDSTILL_NNCF_PYTHON"
LIMIT_S = 900
_ROOT = Path(__file__).parents[1]


def by_nncf(content: bytes, inputs: NDArray[Any], folder: Path, *, transformer: bool) -> bytes | None:
    """The file that nncf makes of a float graph, calibrated on ``inputs``; None, with the reason on stderr, where there is none."""
    if NNCF not in os.environ:
        _say(f"{NNCF} is not set")
        return None
    given, records, made = folder / "nncf-given.onnx", folder / "nncf-inputs.npy", folder / "nncf-made.onnx"
    given.write_bytes(content)
    np.save(records, inputs)
    arguments = ["-m", "benchmarks.nncf_side", str(given), str(records), str(made), *(["transformer"] if transformer else [])]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command = [*shlex.split(os.environ[NNCF]), *arguments]
    try:
        done = subprocess.run(command, env=environment, cwd=_ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        _say(f"it took more than {LIMIT_S} seconds")
        return None
    if done.returncode:
        _say(done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}")
        return None
    if not made.is_file():
        _say("it made no file")
        return None
    try:
        runtime.session(made.read_bytes())
    except ArtifactError as error:
        _say(f"what it made does not load: {error}")
        return None
    return made.read_bytes()


def _say(reason: str) -> None:
    print(f"without nncf: {reason}", file=sys.stderr, flush=True)
