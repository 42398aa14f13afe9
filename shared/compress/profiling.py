"""Where the time of one record goes, by operator, on this machine: the runtime's own profile of an ONNX file.

Needs only numpy and onnxruntime: an edge device may ask. The profile is of what the runtime made of the file, after its
fusions, so that the operators' names are the runtime's (``QLinearConv``, ``MatMulIntegerToFloat``).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compress import runtime

MOST_RUNS, FEWEST_RUNS = 300, 5
MOST_SECONDS = 2.0
"""What the runs may take together, by the time of the first; a profile writes to disk, so the whole takes longer."""
_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_MOVES = frozenset({"Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that compute nothing: of whole numbers (pixels, rows of tables) they prepare what is computed elsewhere."""
_WHOLE = ("uint8", "int8")
_KEPT = 0.9
"""The part of a node's runs, its fastest, that is averaged: on a busy machine the others say more about what else it did."""


@dataclass(frozen=True)
class TimeShares:
    """Microseconds a record by operator: computed in ``int8``, in ``floating`` point, and spent on ``conversions`` between the two and
    on moving whole numbers about."""

    int8: Mapping[str, float]
    floating: Mapping[str, float]
    conversions: Mapping[str, float]

    @property
    def total(self) -> float:
        """All of it, in microseconds; what the runtime does between operators is not in it."""
        return sum(sum(part.values()) for part in (self.int8, self.floating, self.conversions))

    def shares(self) -> dict[str, float]:
        """The three parts of the total, from 0 to 1."""
        total = self.total or 1.0
        parts = {"int8": self.int8, "float": self.floating, "conversions": self.conversions}
        return {name: sum(part.values()) / total for name, part in parts.items()}


def time_shares(content: bytes, record: NDArray[Any]) -> TimeShares:
    """Runs an ONNX file on one raw ``record (1, ...)``, on one thread, at most :data:`MOST_RUNS` times.

    Raises :class:`ArtifactError` where the runtime cannot load the file or the record does not fit it.
    """
    plain = runtime.session(content)
    start = time.perf_counter()
    runtime.logits(plain, record)
    once = time.perf_counter() - start
    runs = int(np.clip(MOST_SECONDS / max(once, 1e-6), FEWEST_RUNS, MOST_RUNS))
    with tempfile.TemporaryDirectory() as folder:
        loaded = runtime.session(content, profile=str(Path(folder) / "profile"))
        for _ in range(runs):
            runtime.logits(loaded, record)
        events = json.loads(Path(loaded.end_profiling()).read_text())
    return _summed(events)


def blank(inputs: Mapping[str, Any]) -> NDArray[Any]:
    """A record of the shape that the manifest's ``inputs`` say, ``(1, ...)``: every number, pixel or token is 1."""
    return np.ones((1, *inputs["shape"]), inputs["dtype"])


def _summed(events: list[dict[str, Any]]) -> TimeShares:
    found: dict[str, dict[str, float]] = {"int8": {}, "float": {}, "conversions": {}}
    durations: dict[str, list[float]] = {}
    details: dict[str, Any] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = event["args"]["node_index"]
            durations.setdefault(node, []).append(event["dur"])
            details[node] = event["args"]
    for node, taken in durations.items():
        operator = details[node]["op_name"]
        part = found[_part(operator, details[node].get("input_type_shape", []))]
        part[operator] = part.get(operator, 0.0) + _mean_of_fastest(taken)
    return TimeShares(*(dict(sorted(part.items(), key=lambda entry: -entry[1])) for part in found.values()))


def _mean_of_fastest(taken: list[float]) -> float:
    return float(np.mean(np.sort(taken)[: max(1, int(len(taken) * _KEPT))]))


def _part(operator: str, inputs: list[Mapping[str, Any]]) -> str:
    # A product of float activations with weights in INT8 is computed in float: the first input says.
    whole = bool(inputs) and next(iter(inputs[0]), "") in _WHOLE
    if operator in _CONVERSIONS or (whole and operator in _MOVES):
        return "conversions"
    return "int8" if whole else "float"
