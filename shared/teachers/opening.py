"""Which kind of teacher lies at a path, decided by its files alone; each kind's library is imported only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from shared.errors import CheckpointError
from shared.task import Task
from shared.teachers.teacher import Teacher

_KINDS: dict[str, tuple[str, str, str]] = {
    # The file that tells, the kind, the module and its function: the first that fits is taken.
    "teacher.json": ("network", "own", "open_own"),
    "efficientnet.json": ("efficientnet-lite", "efficientnet", "open_efficientnet"),
    "config.json": ("huggingface", "huggingface", "open_huggingface"),
    "model.onnx": ("onnx", "onnxfile", "open_onnx"),
    "model.pt2": ("exported", "exported", "open_exported"),
    "model.txt": ("boosting", "boosting", "open_boosting"),
}
_SUFFIXES = {".onnx": "model.onnx", ".pt2": "model.pt2", ".txt": "model.txt"}


def kind_of(path: Path) -> str:
    """The kind of teacher at ``path``: a folder with a file that tells, or a file ``.onnx``, ``.pt2`` or ``.txt``.

    Raises :class:`CheckpointError` where there is none, in one sentence that says what was looked for.
    """
    return _KINDS[_telling(path)][0]


def open_teacher(path: Path, task: Task, *, device: str = "auto", precision: str = "auto") -> Teacher:
    """The teacher at ``path``, ready to be shown records of ``task``. No code that lies there is ever run.

    ``device`` and ``precision`` place one from a Hugging Face folder, as :func:`shared.teachers.loading.placement` says; others are as
    large as they are, on the CPU.

    Raises :class:`CheckpointError` where there is none, it is damaged, or it knows other labels or other inputs than the task,
    and :class:`ConfigError` where a package that it needs is not installed, or the device is not there.
    """
    _, module, name = _KINDS[_telling(path)]
    opener: Callable[..., Teacher] = getattr(import_module(f"shared.teachers.{module}"), name)
    return opener(path, task, device=device, precision=precision) if module == "huggingface" else opener(path, task)


def lies_at(path: Path) -> bool:
    """Whether there is a teacher of any kind at ``path``, whole or not."""
    return (path.is_file() and path.suffix in _SUFFIXES) or any((path / name).is_file() for name in _KINDS)


def forget_others(folder: Path, kind: str) -> None:
    """Removes what would tell of another kind of teacher than ``kind`` in the folder: it was fitted anew."""
    for name, (other, _, _) in _KINDS.items():
        if other != kind:
            (folder / name).unlink(missing_ok=True)


def _telling(path: Path) -> str:
    if path.is_file() and path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    found = [name for name in _KINDS if (path / name).is_file()]
    if found:
        return found[0]
    raise CheckpointError(
        f"there is no teacher in {path}: none of {', '.join(_KINDS)} lies there; fit one with 'fedstill teacher fit' or copy one there"
    )
