"""Puts made-up works (``benchmarks/made_up.py``) into the deployed apps: Python reads this file where PYTHONPATH has its folder.

Nothing is imported before its time: an app is changed once whoever runs it has imported it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def change_client(module: Any) -> None:
    """The ClientApp with made-up works."""

    def workbench(site: Any) -> Any:
        from benchmarks.made_up import SECONDS_VARIABLE, MadeUpWorkbench

        return MadeUpWorkbench(site, float(os.environ.get(SECONDS_VARIABLE, "0")))

    module.app = module.make_app(workbench)


class LateToolbox:
    """The made-up toolbox, imported when it is first used: its module imports the app that is being made."""

    def __getattr__(self, name: str) -> Any:
        from benchmarks.made_up import PARAMETERS_VARIABLE, MadeUpToolbox

        return getattr(MadeUpToolbox(int(os.environ[PARAMETERS_VARIABLE])), name)


def change_server(module: Any) -> None:
    """The ServerApp with a made-up toolbox."""
    module.app = module.make_app(patience_s=module.PATIENCE_S, toolbox=LateToolbox())


CHANGES: dict[str, Callable[[Any], None]] = {"client.app": change_client, "server.app": change_server}


class Loader(importlib.abc.Loader):
    """Loads a module as ever, and then changes it."""

    def __init__(self, real: Any, change: Callable[[Any], None]) -> None:
        self._real, self._change = real, change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the real loader."""
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As the real loader, and the change."""
        self._real.exec_module(module)
        self._change(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the two apps where they are."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """The app's own spec with our loader; nothing for any other module."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name in CHANGES else None
        if spec is not None:
            spec.loader = Loader(spec.loader, CHANGES[name])
        return spec


sys.meta_path.insert(0, Finder())
