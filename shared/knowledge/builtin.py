"""Graphs that come with fedstill: named where a file could be, and the mapping of records to their entities where there is one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

from shared.config import check_config
from shared.errors import ConfigError
from shared.files import read_bytes
from shared.knowledge import heart
from shared.knowledge.linking import TableMapping


class Builtin(NamedTuple):
    """A graph inside the package: its file, what it is about, and how its built-in records name its entities."""

    file: Path
    about: str
    mapping: TableMapping


BUILTIN = {"heart": Builtin(heart.FILE, "coronary artery disease: risk factors, findings, vessels", heart.MAPPING)}
"""The graphs by their names. A name has no suffix, so no file that could be read is hidden by it."""


def graph_path(name: str | Path) -> Path:
    """The file that ``name`` means: a built-in graph's, else ``name`` itself."""
    found = BUILTIN.get(str(name))
    return found.file if found is not None else Path(name)


def read_mapping(name: str | Path) -> TableMapping:
    """A mapping from a TOML file with the keys of :class:`TableMapping`, or a built-in graph's own.

    Raises :class:`MissingFileError`, and :class:`ConfigError` that names the file and the key.
    """
    if str(name) in BUILTIN:
        return BUILTIN[str(name)].mapping
    try:
        table = tomllib.loads(read_bytes(Path(name), what="mapping").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} is not valid TOML: {error}") from error
    return check_config(TableMapping, table, where=str(name))
