"""``fedstill run``: look at a run of a coordinator's folder or of a simulation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at a run of a coordinator or of a simulation.")


@app.callback()
def _root() -> None:
    """Keeps ``watch`` a command of its own although it is the only one."""


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="The coordinator's folder, or a simulation's.")],
    run: Annotated[str | None, typer.Option("--run", help="The run's name; default: the one in which something happened last.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Draw it as it is now, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the events so far, one JSON object a line, and end.")] = False,
) -> None:
    """Watch a run live until it is finished: phase, round, who has answered, figures, absences and refusals.

    Example: fedstill run watch coordinator

    It changes nothing of the run: Ctrl-C ends the watching, not the run.
    """
    from rich.console import Console

    from fedstill.watching import newest_run, open_store
    from fedstill.watching import watch as draw

    store = open_store(folder)
    try:
        name = newest_run(store, run)
        if as_json:
            for sequence, when, event in store.events(name):
                table = {"sequence": sequence, "time": when, "run": name, **event.model_dump(mode="json")}
                sys.stdout.write(json.dumps(table) + "\n")
            return
        draw(store, name, Console(), once=once)
    finally:
        store.close()
