"""Puts made-up works (``benchmarks/made_up.py``) into the deployed apps: Python reads this file where PYTHONPATH has its folder.

Nothing is imported before its time: an app is changed once whoever runs it has imported it.
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.late import when_imported


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


when_imported({"client.app": change_client, "server.app": change_server})
