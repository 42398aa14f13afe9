"""Any ONNX classifier as a teacher that shows its output alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.data.records import Records
from shared.errors import CheckpointError
from shared.files import read_bytes
from shared.models.features import Features
from shared.task import ImageTask, TabularTask, Task, TextTask
from shared.teachers.pixels import Pixels
from shared.teachers.showing import damaged, digest_of, labels_of, log_probabilities, telling_file

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
_PROBABLE = {"Softmax", "TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier", "Normalizer"}
"""Operators whose outputs are probabilities."""


def open_onnx(path: Path, task: Task) -> OnnxTeacher:
    """The graph in ``model.onnx``. Raises :class:`CheckpointError` where it is damaged or its inputs or outputs do not fit the task."""
    return OnnxTeacher(telling_file(path, "model.onnx"), task)


@dataclass(frozen=True)
class _Port:
    name: str
    shape: tuple[int | None, ...]
    type: Any


class OnnxTeacher:
    """A graph as a :class:`Teacher`. Its inputs may be:

    - the task's raw input: ``float (n, columns)``, ``uint8 (n, H, W, C)``, or ids ``int (n, tokens)``, with those also
      ``attention_mask`` and ``token_type_ids``
    - for images also ``float (n, C, H, W)``, values in 0..1, resized to the graph's size

    Its output is the first ``float (n, labels)``, in the task's order; probabilities become their logarithm.
    """

    layers = 0

    def __init__(self, file: Path, task: Task) -> None:
        content = read_bytes(file, what="teacher")
        self._task, self._file = task, file
        # From memory, so that a graph cannot name other files as its weights.
        self._session, graph = _opened(content, file)
        self._inputs = [_Port(port.name, _shape(port.shape), _TYPES.get(port.type)) for port in self._session.get_inputs()]
        self._output = self._chosen_output()
        self._probable = _is_probable(graph, self._output)
        self.parameters = sum(int(np.prod(tensor.dims)) for tensor in graph.graph.initializer)
        self.digest = digest_of([file], "onnx", task.family)
        self.show(Records(_blank(task), np.zeros(1, np.int64)))

    def longest(self, records: Records) -> int:
        """0: only the output is shown."""
        return 0

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`; a graph has no inside. A graph for one record at a time is asked one by one."""
        single = any(port.shape[:1] == (1,) for port in self._inputs)
        rows = [records.take(np.array([row])) for row in range(len(records))] if single else [records]
        found = torch.from_numpy(np.concatenate([self._run(part) for part in rows]).astype(np.float32))
        return Features(log_probabilities(found) if self._probable else found)

    def _run(self, records: Records) -> NDArray[Any]:
        try:
            feed = {port.name: self._fed(port, records) for port in self._inputs}
            found: NDArray[Any] = self._session.run([self._output], feed)[0]
        except CheckpointError:
            raise
        except Exception as error:
            raise self._misfit() from error
        if found.shape != (len(records), len(self._task.labels)):
            raise self._misfit()
        return found

    def _fed(self, port: _Port, records: Records) -> NDArray[Any]:
        values = records.inputs
        if isinstance(self._task, TextTask):
            values = _ids(port, values, self._task)
        elif isinstance(self._task, ImageTask) and port.type in (np.float32, np.float64) and len(port.shape) == 4:
            size = port.shape[2] or self._task.size
            values = Pixels(channels=port.shape[1] or self._task.channels, size=size)(torch.from_numpy(values)).numpy()
        whole_number = port.type in (np.uint8, np.int32, np.int64)
        if port.type is None or len(port.shape) != values.ndim or (isinstance(self._task, TabularTask) and whole_number):
            raise self._misfit()
        cast: NDArray[Any] = values.astype(port.type)
        return cast

    def _chosen_output(self) -> str:
        for port in self._session.get_outputs():
            if port.type in ("tensor(float)", "tensor(double)") and _shape(port.shape)[1:] in ((len(self._task.labels),), (None,)):
                return str(port.name)
        raise self._misfit()

    def _misfit(self) -> CheckpointError:
        wants = ", ".join(f"{port.name} {'x'.join(str(side or 'n') for side in port.shape)}" for port in self._inputs)
        return CheckpointError(
            f"the graph in {self._file} does not take this task's records or does not give {labels_of(self._task)} "
            f"(its inputs: {wants}); export one that does"
        )


def _opened(content: bytes, file: Path) -> tuple[Any, Any]:
    import onnx
    import onnxruntime

    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return session, onnx.load_model_from_string(content)
    except Exception as error:
        # The library has a class of its own for each way to fail.
        raise damaged(file, error) from error


def _is_probable(graph: Any, output: str) -> bool:
    makers = [node.op_type for node in graph.graph.node if output in node.output]
    return "prob" in output.lower() or bool(_PROBABLE & set(makers))


def _ids(port: _Port, tokens: NDArray[Any], task: TextTask) -> NDArray[Any]:
    if "mask" in port.name:
        mask: NDArray[Any] = tokens != task.padding
        return mask
    return np.zeros_like(tokens) if "type" in port.name else tokens


def _shape(sides: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) else None for side in sides)


def _blank(task: Task) -> NDArray[Any]:
    match task:
        case ImageTask():
            return np.zeros((1, task.size, task.size, task.channels), np.uint8)
        case TabularTask():
            return np.zeros((1, len(task.columns)), np.float32)
        case TextTask():
            return np.full((1, task.max_tokens), 1 if task.padding == 0 else 0, np.int32)
