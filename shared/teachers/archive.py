"""What of a ``.pt2`` may be read: a graph of known operators and plain weights.

Torch's own reader does more (2.13): example inputs that do not load with ``weights_only`` are unpickled without it, so are weights
that say so, and sizes are evaluated as text. So nothing is handed to it that was not looked at here.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import torch

_TARGET = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file)[A-Za-z0-9_]+\.[A-Za-z0-9_]+|_operator\.(getitem|add|sub|mul|floordiv|mod|eq|ne|lt|le|gt|ge|neg)"
)
"""Operators on tensors and on their sizes; none loads code or calls back, and the one that maps a file is left out."""
_SYMBOL = r"Symbol\('[a-z]\d++'(?:, [a-z]++=(?:True|False))*+\)"
_NUMBER = r"Integer\(-?\d++\)|-?\d++|[su]\d++"
_FUNCTION = r"(?:Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|Eq|Ne|Lt|Le|Gt|Ge)\("
_EXPRESSION = re.compile(rf"(?:{_SYMBOL}|{_NUMBER}|{_FUNCTION}|True|False|[-+*/%(), <>=!])*+")
"""Arithmetic on sizes: torch hands such text to an evaluator. Every repeat is possessive, so no text makes the match slow."""
_TYPES = {"null", '"builtins.tuple"', '"builtins.list"', '"builtins.dict"'}
"""What inputs and outputs may be packed in."""
_TYPE = re.compile(r'"type": *+("[^"]*+"|[^",}]++)')
_FORBIDDEN = ("as_operator", "as_custom_obj")
_KNOWN = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/.*|\.format_version|\.storage_alignment|models/model\.json|"
    r"data/(weights|constants)/(model_\w+_config\.json|weight_\d+|tensor_\d+)|data/sample_inputs/model\.pt"
)


class UnsafeArchiveError(ValueError):
    """Something in the archive that could run code, or is none of what an exported classifier needs."""


def checked_archive(content: bytes) -> bytes:
    """The same archive, written anew from what was looked at: another reader cannot see other members in it.

    Raises :class:`UnsafeArchiveError`, or ``zipfile.BadZipFile`` and ``ValueError`` for damage. Allowed are: the members that
    ``torch.export.save`` writes for a plain model, weights and constants without pickles, example inputs that load with
    ``weights_only``, ``aten`` and ``prims`` operators, and arithmetic on sizes.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = [name for name in old.namelist() if not name.endswith("/")]
        if len(set(names)) != len(names) or len({name.split("/")[0] for name in names}) != 1:
            raise UnsafeArchiveError("members twice or in several folders")
        for name in names:
            inner, member = name.partition("/")[2], old.read(name)
            if not _KNOWN.fullmatch(inner):
                raise UnsafeArchiveError(f"a member that no plain model has: {inner!r}")
            _check_member(inner, member)
            new.writestr(name, member)
    return out.getvalue()


def _check_member(name: str, content: bytes) -> None:
    if name.endswith(".pt"):
        torch.load(io.BytesIO(content), weights_only=True)
    elif name.startswith("data/") and name.endswith(".json"):
        if any(entry.get("use_pickle", True) for entry in json.loads(content)["config"].values()):
            raise UnsafeArchiveError("weights that are pickled")
    elif name.startswith("models/"):
        program = json.loads(content)
        if program.get("guards_code"):
            raise UnsafeArchiveError("guards, which are code")
        for key, value in _pairs(program):
            if key == "target" and value and not _TARGET.fullmatch(value):
                raise UnsafeArchiveError("an operator that is none of torch's plain ones")
            if key == "expr_str" and not _EXPRESSION.fullmatch(value):
                raise UnsafeArchiveError("a size that is no arithmetic")
            if key in ("in_spec", "out_spec") and not set(_TYPE.findall(value)) <= _TYPES:
                raise UnsafeArchiveError("inputs or outputs that are no plain tensors")
            if key in _FORBIDDEN:
                raise UnsafeArchiveError("an object of a kind of its own")


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item if isinstance(item, str) else ""
            yield from _pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)
