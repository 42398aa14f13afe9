"""Which operators are worth INT8 on a device: those without which its cost model says the file would be slower.

Beside cheap operators the conversions between float and INT8 cost more than the multiplication saves: an INT8 file of a small model
is often slower than its float one. Nodes alike in operator and weights are decided together, and by the model's figure for the
whole file, for a node's conversions are its neighbours' too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import onnx

from shared.compress import graph
from shared.compress.devices import recipe
from shared.compress.quantise import Ranges, quantise
from shared.compress.scope import scope
from shared.compress.silent import silently_quantised

Cost = Callable[[bytes], float]
"""How a file compares with others of the same student, less is better: seconds, or :meth:`shared.compress.cost.Times.burden`. Equal bytes
cost the same."""
LEAST_GAIN = 1e-3
"""The part of the whole time that a decision must win: below it the cost model says nothing."""


def left_in_float(content: bytes, ranges: Ranges, grid: str, cost: Cost) -> frozenset[str]:
    """Names of the weighted nodes of a float graph that the device had better compute in float.

    From everything in INT8, and again from nothing, the group of nodes whose change wins most is changed until none wins
    :data:`LEAST_GAIN`; the cheaper end is taken. What the runtime would quantise by itself is never left. Raises
    :class:`shared.errors.ArtifactError` as :func:`quantise` does.
    """
    groups = alike(content, grid)
    every = frozenset().union(*groups.values()) if groups else frozenset[str]()

    def judged(names: frozenset[str]) -> float:
        made = quantise(content, ranges, grid, in_float=names)
        return math.inf if silently_quantised(made) else cost(made)

    ends = [_descend(start, list(groups.values()), judged) for start in (frozenset[str](), every)]
    return min(ends, key=lambda end: end[1])[0]


def alike(content: bytes, grid: str) -> Mapping[tuple[object, ...], frozenset[str]]:
    """The nodes that a recipe computes in INT8, by operator, attributes and shape of their weights, in the graph's order."""
    model = graph.parse(content)
    chosen = set(scope(model, attention=not recipe(grid).attention_in_float).weighted)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found: dict[tuple[object, ...], frozenset[str]] = {}
    for node in model.graph.node:
        if node.name in chosen:
            kind = (node.op_type, shapes[node.input[1]], _attributes(node))
            found[kind] = found.get(kind, frozenset()) | {node.name}
    return found


def _descend(names: frozenset[str], groups: list[frozenset[str]], cost: Callable[[frozenset[str]], float]) -> tuple[frozenset[str], float]:
    best = cost(names)
    while groups:
        changed = [names - group if group <= names else names | group for group in groups]
        costs = [cost(other) for other in changed]
        least = min(range(len(costs)), key=lambda place: costs[place])
        if costs[least] > best * (1 - LEAST_GAIN):
            break
        names, best = changed[least], costs[least]
    return names, best


def _attributes(node: onnx.NodeProto) -> str:
    return repr(sorted((attribute.name, str(onnx.helper.get_attribute_value(attribute))) for attribute in node.attribute))
