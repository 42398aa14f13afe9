"""``fedstill simulate``: a whole federation on this machine, through the same Flower apps that are deployed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def simulate(
    config: Annotated[Path | None, typer.Argument(help="A federation.toml; left out, the built-in data named by --data.")] = None,
    data: Annotated[str, typer.Option(help="Built-in data: heart (4 hospitals) or digits (5 sites).")] = "heart",
    institutions: Annotated[int | None, typer.Option(help="How many institutions; default: as many as the data has.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Training rounds; default: as configured.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="HOW_MANY@ROUND or NAME@ROUND: vanish in that round. Repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; default: runs/NAME-TIME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, or with the latest under runs/.")] = False,
    baselines: Annotated[bool, typer.Option(help="Also train the models that fedstill's student is compared with.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run a whole federation: each institution's teacher, masked rounds, INT8 compression, signed artifact, report.

    Example: fedstill simulate --institutions 5 --drop 1@3 --out runs/trial

    Ctrl-C ends cleanly and keeps the closed rounds; the same command with --resume goes on and ends with the same student.
    """
    started = time.monotonic()
    from fedstill.experiment import run_experiment
    from fedstill.plan import plan_experiment
    from fedstill.progress import make_console

    console = make_console()
    plan = plan_experiment(
        config,
        data=data,
        institutions=institutions,
        rounds=rounds,
        seed=seed,
        drops=drop or [],
        out=out,
        resume=resume,
        baselines=baselines,
    )
    summary = run_experiment(plan, console, started=started)
    if as_json:
        sys.stdout.write(summary.model_dump_json() + "\n")
