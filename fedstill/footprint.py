"""How much memory a model takes where nothing else runs: the peak of a fresh process that loads it and answers some records.

``python -m fedstill.footprint KIND FILE RECORDS [TASK]`` is that process; it prints bytes. KIND is ``onnx``, ``student`` or ``teacher``.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shared.data.records import Records
    from shared.task import Task

Kind = Literal["onnx", "student", "teacher"]
RECORDS = 32
"""Records that are answered, one at a time."""
LONGEST_S = 300.0


def peak_bytes(kind: Kind, file: Path, given: Records, task: Task | None = None) -> int | None:
    """Peak resident memory in bytes of a process that loads ``file`` and answers the first of the ``given`` records.

    A teacher needs the ``task`` too. ``None`` where such a process cannot be had or does not end well, as on a machine that is short
    of memory: the figure is then unknown, and nothing else is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        records, described = Path(folder) / "records.npz", Path(folder) / "task.json"
        texts = {} if given.texts is None else {"texts": given.texts[:RECORDS]}
        np.savez(records, allow_pickle=False, inputs=given.inputs[:RECORDS], **texts)
        if task is not None:
            described.write_bytes(task.canonical())
        command = [sys.executable, "-m", "fedstill.footprint", kind, str(file), str(records), *([] if task is None else [str(described)])]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=True, env=alone)
            return int(done.stdout.split()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None


def main(arguments: list[str]) -> None:
    """The fresh process: loads, answers, prints its peak."""
    kind, file, records, *task = arguments
    with np.load(records, allow_pickle=False) as loaded:
        arrays = dict(loaded)
    if kind == "onnx":
        _answer_onnx(Path(file), arrays["inputs"])
    elif kind == "student":
        _answer_student(Path(file), arrays["inputs"])
    else:
        _answer_teacher(Path(file), arrays, Path(task[0]))
    sys.stdout.write(f"{_peak()}\n")


def _answer_onnx(file: Path, inputs: NDArray[Any]) -> None:
    from shared.compress import runtime

    loaded = runtime.session(file.read_bytes())
    for place in range(len(inputs)):
        runtime.logits(loaded, inputs[place : place + 1])


def _answer_student(file: Path, inputs: NDArray[Any]) -> None:
    import torch

    from shared.models import load_model
    from shared.models.network import predict_logits

    torch.set_num_threads(1)
    model = load_model(file)
    for place in range(len(inputs)):
        predict_logits(model, inputs[place : place + 1])


def _answer_teacher(file: Path, arrays: dict[str, NDArray[Any]], described: Path) -> None:
    import torch
    from pydantic import TypeAdapter

    from shared.data.records import Records
    from shared.task import Task
    from shared.teachers import open_teacher

    torch.set_num_threads(1)
    task: Task = TypeAdapter(Task).validate_json(described.read_bytes())
    teacher = open_teacher(file, task)
    records = Records(arrays["inputs"], np.zeros(len(arrays["inputs"]), np.int64), arrays.get("texts"))
    for place in range(len(records)):
        teacher.show(records.take(np.array([place])))


def _peak() -> int:
    # A child inherits its parent's record in ru_maxrss; the kernel's own is this process's alone.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1:])
