"""Changes a module once whoever needs it has imported it, and imports nothing before its time: for a ``sitecustomize`` of measurements
and tests, which Python reads before all else. The standard library alone.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

Change = Callable[[Any], None]


def when_imported(changes: Mapping[str, Change]) -> None:
    """From now on each of the modules is loaded as ever, and then changed."""
    sys.meta_path.insert(0, _Finder(changes))


class _Loader(importlib.abc.Loader):
    """Loads a module as ever, and then changes it."""

    def __init__(self, real: Any, change: Change) -> None:
        self._real, self._change = real, change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the real loader."""
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As the real loader, and the change."""
        self._real.exec_module(module)
        self._change(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules where they are."""

    def __init__(self, changes: Mapping[str, Change]) -> None:
        self._changes = changes

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec with our loader; nothing for any other."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name in self._changes else None
        if spec is not None:
            spec.loader = _Loader(spec.loader, self._changes[name])
        return spec
