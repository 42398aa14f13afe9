"""How long one record takes, batch 1, one thread: the median over many calls after a warm-up. Seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from shared.compress import runtime

if TYPE_CHECKING:
    from torch import nn


def median_seconds(call: Callable[[], object], *, repeats: int = 200, warm_up: int = 20) -> float:
    """The median duration of ``repeats`` calls, after ``warm_up`` that do not count."""
    for _ in range(warm_up):
        call()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def onnx_latency(content: bytes, inputs: NDArray[Any], *, repeats: int = 200) -> float:
    """Seconds that an ONNX file takes for the first of ``inputs`` in onnxruntime on one thread."""
    loaded = runtime.session(content)
    record = inputs[:1]
    return median_seconds(lambda: loaded.run(["logits"], {"inputs": record}), repeats=repeats)


def onnx_latencies(files: Mapping[str, bytes], inputs: NDArray[Any], *, turns: int = 3, repeats: int = 200) -> dict[str, float]:
    """Seconds as :func:`onnx_latency` of several ONNX files, by name, to be compared.

    They take ``turns``, and the least of a file's medians counts: what else runs on the machine only ever adds time, and not to one
    of them alone.
    """
    found = [{name: onnx_latency(content, inputs, repeats=repeats) for name, content in files.items()} for _ in range(turns)]
    return {name: min(turn[name] for turn in found) for name in files}


def torch_latency(model: nn.Module, inputs: NDArray[Any], *, repeats: int = 200) -> float:
    """Seconds that a torch model takes for the first of ``inputs`` on one thread; torch's thread count is given back."""
    import torch

    threads, was_training = torch.get_num_threads(), model.training
    torch.set_num_threads(1)
    model.eval()
    record = torch.from_numpy(inputs[:1])
    try:
        with torch.inference_mode():
            return median_seconds(lambda: model(record), repeats=repeats)
    finally:
        model.train(was_training)
        torch.set_num_threads(threads)
