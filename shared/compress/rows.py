"""Records as people write them (JSON, CSV) become the array that an artifact takes, by its manifest alone. numpy only.

Texts also need the artifact's tokeniser, and with it the package ``tokenizers``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, MissingColumnError
from shared.tokenise import Tokeniser

MISSING = frozenset({"", "?", "na", "nan", "null", "none"})
"""Spellings of a missing value, in any case."""
_LARGEST = float(np.finfo(np.float32).max)


def encode(task: Mapping[str, Any], records: Sequence[Any], tokeniser: Tokeniser | None = None) -> NDArray[Any]:
    """Records -> the model's input. ``task`` is the manifest's.

    Tables: each record is an object by column name (others are ignored, such as the label) or a list in column order;
    gives float32 ``(n, columns)``, categories as their index, missing as NaN. Images: each record is a nested list
    ``(H, W, C)``, or ``(H, W)`` for one channel, of integers 0..255; gives uint8 ``(n, H, W, C)``. Texts: each record
    is a string or an object that holds it by column name; gives int32 ``(n, tokens)``, as many as the longest needs.
    Raises :class:`DataError` or :class:`MissingColumnError`, naming the record's number and the column, never a value.
    """
    if task["family"] == "tabular":
        rows = [_row(task["columns"], record, number) for number, record in enumerate(records, 1)]
        return np.array(rows, np.float32).reshape(len(rows), len(task["columns"]))
    if task["family"] == "text":
        return _tokens(task, [_text(task["text"], record, number) for number, record in enumerate(records, 1)], tokeniser)
    shape = (task["size"], task["size"], task["channels"])
    images = [_image(shape, record, number) for number, record in enumerate(records, 1)]
    return np.array(images, np.uint8).reshape(len(images), *shape)


def parse(task: Mapping[str, Any], text: str) -> list[Any]:
    """The records in a text, for :func:`encode`: one JSON record or a JSON list of them, JSON lines, or CSV with a header.
    Of a text task also one text a line.

    Raises :class:`DataError` where there are none or the text is none of these.
    """
    stripped = text.strip()
    if not stripped:
        raise DataError("there are no records in the input; give JSON or CSV with a header line")
    if task["family"] == "text":
        return _texts(task, stripped)
    if stripped[0] not in "[{":
        return [dict(record) for record in csv.DictReader(io.StringIO(stripped))]
    try:
        found = json.loads(stripped)
    except ValueError:
        return _lines(stripped)
    return found if _is_batch(task, found) else [found]


def _texts(task: Mapping[str, Any], text: str) -> list[Any]:
    # A text may begin with a bracket: what is no JSON is lines of text.
    if text[0] in '[{"':
        try:
            found = json.loads(text)
        except ValueError:
            with suppress(DataError):
                return _lines(text)
        else:
            return found if isinstance(found, list) else [found]
    reader = csv.DictReader(io.StringIO(text))
    if _key(task["text"], reader.fieldnames or ()) is not None:
        return [dict(record) for record in reader]
    return [line for line in text.splitlines() if line.strip()]


def _key(column: str, keys: Collection[str]) -> str | None:
    return next((key for key in (column, "text") if key in keys), None)


def _text(column: str, record: Any, number: int) -> str:
    if isinstance(record, Mapping):
        key = _key(column, record)
        if key is None:
            raise MissingColumnError(f"record {number} has no text; give it as '{column}'")
        record = record[key]
    if not isinstance(record, str):
        raise DataError(f"record {number} must be a text, or an object that holds one as '{column}'")
    return record.strip()


def _tokens(task: Mapping[str, Any], texts: list[str], tokeniser: Tokeniser | None) -> NDArray[np.int32]:
    if tokeniser is None:
        raise DataError("texts need the tokeniser of their artifact; open the artifact and let it encode them")
    ids = tokeniser.encode(texts, max_tokens=task["max_tokens"], padding=task["padding"])
    used = np.flatnonzero((ids != task["padding"]).any(axis=0))
    return np.ascontiguousarray(ids[:, : used[-1] + 1 if len(used) else 1])


def _is_batch(task: Mapping[str, Any], found: Any) -> bool:
    if not isinstance(found, list) or not found:
        return found == []
    if task["family"] == "tabular":
        # A list of objects or of lists is a batch; a flat list is one record in column order.
        return isinstance(found[0], list | dict)
    shape = _shape(found)
    return shape not in ((task["size"],) * 2, (task["size"], task["size"], task["channels"]))


def _shape(nested: Any) -> tuple[int, ...]:
    return (len(nested), *_shape(nested[0])) if isinstance(nested, list) and nested else ()


def _lines(text: str) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise DataError("the input is neither JSON, JSON lines nor CSV with a header line") from error


def _row(columns: Sequence[Mapping[str, Any]], record: Any, number: int) -> list[float]:
    if isinstance(record, Mapping):
        absent = [column["name"] for column in columns if column["name"] not in record]
        if absent:
            raise MissingColumnError(f"record {number} has no column '{absent[0]}'; give it empty where it is not known")
        record = [record[column["name"]] for column in columns]
    if not isinstance(record, Sequence) or isinstance(record, str) or len(record) != len(columns):
        raise DataError(f"record {number} must hold {len(columns)} values, one a column of the manifest")
    return [_cell(column, value, number) for column, value in zip(columns, record, strict=True)]


def _cell(column: Mapping[str, Any], value: Any, number: int) -> float:
    if value is None or str(value).strip().lower() in MISSING:
        return math.nan
    if column["kind"] == "categorical":
        return float(_category(column, value, number))
    try:
        cell = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"record {number}: column '{column['name']}' needs a number") from error
    if not abs(cell) <= _LARGEST:
        raise DataError(f"record {number}: column '{column['name']}' is infinite or too large; leave it empty where it is not known")
    return cell


def _category(column: Mapping[str, Any], value: Any, number: int) -> int:
    categories = list(column["categories"])
    text = str(value).strip()
    for candidate in (text, _whole_number(text)):
        if candidate in categories:
            return categories.index(candidate)
    known = ", ".join(map(str, categories[:12]))
    raise DataError(f"record {number}: column '{column['name']}' holds none of its categories ({known})")


def _whole_number(text: str) -> str:
    # A table may write the category "1" as 1.0.
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if math.isfinite(number) and number == int(number) else text


def _image(shape: tuple[int, ...], record: Any, number: int) -> NDArray[np.uint8]:
    try:
        image = np.asarray(record)
        whole = image.astype(np.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"record {number} is not an image of numbers") from error
    if image.shape != shape and image.shape != shape[:2] * (shape[2] == 1):
        raise DataError(f"record {number} must be an image of shape {shape}, but has {image.shape}")
    if image.dtype.kind not in "iu" or whole.min() < 0 or whole.max() > 255:
        raise DataError(f"record {number} must hold whole numbers from 0 to 255")
    return whole.reshape(shape).astype(np.uint8)
