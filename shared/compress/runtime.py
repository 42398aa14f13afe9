"""onnxruntime, set up the same way everywhere: this CPU, bounded threads, bounded batches, no chatter.

Needs only numpy and onnxruntime: an edge device imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.errors import ArtifactError

BATCH = 256
"""Most records that one call of the runtime gets; fewer of large ones, so that memory stays bounded."""
_MOST_BYTES = 2**22
_SETTINGS: dict[str, str] = {}
"""What every session of this process is made with beside its own options."""


def flush_denormals() -> None:
    """From now on numbers too small for the usual arithmetic count as zero in this process, where the processor can do so.

    A masked token's probability is such a number (the runtime's softmax ends at e^-88), and a product with it takes a processor many
    times as long. onnxruntime sets this once, in the thread that makes the process's first session; threads that begin later have it
    from there, and so has all else that they compute. It is therefore for processes that do nothing but answer: call it before the
    first session, and never where anything is trained or calibrated.
    """
    _SETTINGS["session.set_denormal_as_zero"] = "1"


def session(content: bytes, *, threads: int = 1, exact: bool = False, profile: str = "") -> ort.InferenceSession:
    """A session over ONNX bytes on the CPU. ``exact`` keeps every node as written (no fusion), for reading inner tensors;
    ``profile`` is where the runtime writes down what each node takes (``end_profiling`` gives the file's name).

    Raises :class:`ArtifactError` where the runtime cannot load the bytes.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for name, value in _SETTINGS.items():
        options.add_session_config_entry(name, value)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if exact:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises several unrelated kinds
        raise ArtifactError("onnxruntime cannot load the ONNX file; it is damaged or needs a newer onnxruntime") from error


def logits(runtime: ort.InferenceSession, inputs: NDArray[Any], *, batch: int | None = None) -> NDArray[np.float32]:
    """Runs the model over all records in bounded batches: ``(records, ...)`` -> float32 ``(records, labels)``.

    Raises :class:`ArtifactError` where the inputs do not have the shape or type that the graph takes.
    """
    name = runtime.get_inputs()[0].name
    parts = []
    size = batch or max(1, min(BATCH, _MOST_BYTES * len(inputs) // max(inputs.nbytes, 1)))
    for start in range(0, max(len(inputs), 1), size):
        try:
            parts.append(runtime.run(["logits"], {name: inputs[start : start + size]})[0])
        except Exception as error:
            shape, kind = runtime.get_inputs()[0].shape, runtime.get_inputs()[0].type
            taken, given = f"{kind} of shape {shape}", f"{inputs.dtype} of shape {list(inputs.shape)}"
            raise ArtifactError(f"the model takes {taken}, but got {given}; encode the records by the manifest") from error
    return np.concatenate(parts)
