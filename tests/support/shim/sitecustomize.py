"""Puts the small works of ``tests.support.small`` in the place of torch's into deployed processes: a round takes as long as it is told.

Python reads this file in every process whose PYTHONPATH has its folder. Nothing is imported before its time: the two apps are changed
once they have been imported by whoever runs them.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import time
from typing import Any

from benchmarks.late import when_imported

SECONDS_VARIABLE = "FEDSTILL_TEST_SECONDS"
"""JSON: institution → seconds that a training round takes it."""


def slow_workbench(site: Any) -> Any:
    """The small works of an institution, and a while for those that train."""
    from shared.work import Work, trains
    from tests.support.small import SmallWorkbench

    class Slow(SmallWorkbench):
        def perform(self, work: Work, blob: bytes, round_number: int) -> Any:
            if trains(work):
                time.sleep(json.loads(os.environ.get(SECONDS_VARIABLE, "{}")).get(self.name, 0.0))
            return super().perform(work, blob, round_number)

    return Slow(site)


class LateToolbox:
    """The small toolbox, imported when it is first used: its module imports the app that is being made."""

    def __getattr__(self, name: str) -> Any:
        from tests.support.small import SmallToolbox

        return getattr(SmallToolbox(), name)


def change_client(module: Any) -> None:
    """The ClientApp of ``client.app`` with small works."""
    module.app = module.make_app(slow_workbench)


def change_server(module: Any) -> None:
    """The ServerApp of ``server.app`` with a small toolbox."""
    module.app = module.make_app(patience_s=module.PATIENCE_S, toolbox=LateToolbox())


if hasattr(faulthandler, "register"):
    faulthandler.register(signal.SIGUSR1)  # a test may ask any process where it is
when_imported({"client.app": change_client, "server.app": change_server})
