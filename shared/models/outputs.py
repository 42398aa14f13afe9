"""Where the outputs of each of a task's heads lie in a student's vector."""

from __future__ import annotations

from shared.heads import spans
from shared.models.fragment import Ranges, fragment_ranges
from shared.models.network import Network

LAYER = "head"
"""The last layer of every family: one row a label."""


def output_ranges(student: Network) -> tuple[Ranges, ...]:
    """For each head of the student's task the half-open ranges of its labels' biases and weights in ``shared.models.vector`` order.

    Empty where the task has no heads.
    """
    layers = [f"{LAYER}.{name}" for name, _ in sorted(student.get_submodule(LAYER).named_parameters())]
    found = []
    for span in spans(student.task.heads):
        rows = []
        for layer in layers:
            start, width = fragment_ranges(student, [layer])[0][0], student.get_parameter(layer)[0].numel()
            rows.append((start + span.start * width, start + span.stop * width))
        found.append(tuple(rows))
    return tuple(found)
