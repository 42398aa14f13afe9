"""A request's records as the array that the model takes: the same array that ``fedstill artifact serve-once`` would make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.edge.model import ServedModel
from shared.errors import DataError
from shared.rpc import edge_pb2 as pb

_FAMILIES = {"table": "tabular", "images": "image", "texts": "text", "tokens": "text"}


def inputs_of(model: ServedModel, request: pb.PredictRequest, most_rows: int) -> NDArray[Any]:
    """Raw records ``(n, ...)`` of the model's task. Raises :class:`DataError`, one sentence without a value, for all that do not fit."""
    kind, task = request.WhichOneof("records"), model.task
    if kind is None or _FAMILIES[kind] != task["family"]:
        raise DataError(f"the model takes {_taken(task['family'])}, the request has {kind or 'no records'}")
    count = _count(request, kind)
    if not 1 <= count <= most_rows:
        raise DataError(f"a request holds 1 to {most_rows} records, this one {count}; send them in parts")
    if kind == "table":
        return model.artifact.encode([_row(row) for row in request.table.rows])
    if kind == "images":
        return _images(task, request.images)
    if kind == "texts":
        return model.artifact.encode(list(request.texts.texts))
    return _tokens(task, request.tokens)


def _taken(family: str) -> str:
    return {"tabular": "a table", "image": "images", "text": "texts or tokens"}[family]


def _count(request: pb.PredictRequest, kind: str) -> int:
    if kind == "images":
        return request.images.count
    return len(request.texts.texts) if kind == "texts" else len(request.table.rows if kind == "table" else request.tokens.rows)


def _row(row: pb.Row) -> list[Any] | dict[str, Any]:
    if row.named and row.values:
        raise DataError("a row has its values in order or by name, not both")
    if row.named:
        return {name: _value(value) for name, value in row.named.items()}
    return [_value(value) for value in row.values]


def _value(value: pb.Value) -> float | str | None:
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    return value.number if kind == "number" else value.text


def _images(task: dict[str, Any], images: pb.Images) -> NDArray[np.uint8]:
    shape = (task["size"], task["size"], task["channels"])
    if (images.height, images.width, images.channels) != shape:
        given = (images.height, images.width, images.channels)
        raise DataError(f"the model takes images of height, width and channels {shape}, the request has {given}")
    if len(images.pixels) != images.count * shape[0] * shape[1] * shape[2]:
        raise DataError(f"{images.count} images of {shape} do not have {len(images.pixels)} bytes")
    return np.frombuffer(images.pixels, np.uint8).reshape(images.count, *shape)


def _tokens(task: dict[str, Any], tokens: pb.TokenRows) -> NDArray[np.int32]:
    rows = [np.array(row.ids, np.int64) for row in tokens.rows]
    longest = max(len(row) for row in rows)
    if longest > task["max_tokens"]:
        raise DataError(f"the model takes at most {task['max_tokens']} tokens a text, the request has {longest}; cut them off")
    filled = np.full((len(rows), max(longest, 1)), task["padding"], np.int32)
    for target, row in zip(filled, rows, strict=True):
        if row.size and row.max() >= task["vocabulary"]:
            raise DataError(f"a token id is not below the vocabulary of {task['vocabulary']}; split texts by the artifact's tokenizer.json")
        target[: len(row)] = row
    used = np.flatnonzero((filled != task["padding"]).any(axis=0))
    return np.ascontiguousarray(filled[:, : used[-1] + 1 if len(used) else 1])  # as the tokeniser's rows are: the same bits come out
