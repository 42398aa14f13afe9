"""``fedstill distill``: one teacher, one set of records, one small student, no federation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def distill(
    config: Annotated[
        Path | None, typer.Argument(help="A federation.toml ('fedstill init' writes one); left out, the built-in data named by --data.")
    ] = None,
    data: Annotated[str, typer.Option(help="Built-in data: heart or digits.")] = "heart",
    teacher: Annotated[
        Path | None,
        typer.Option(help="Its folder or file: fedstill's, Hugging Face's, .onnx, .pt2 or boosted trees. Default: one is fitted."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; default: rounds × training.epochs of the configuration.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where student, targets and summary go; default: runs/distill-NAME-TIME.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Distil a teacher into the configuration's student on all of its records, and say how much of the teacher is kept.

    Example: fedstill distill federation.toml --teacher ~/models/triage-bert --out runs/triage

    Stopped in the middle, the same command with the same --out goes on: targets that the teacher gave are kept, and so is the fit.
    """
    from fedstill.distilling import plan_distillation, run_distillation
    from fedstill.progress import make_console
    from fedstill.report.distilled import print_distilled

    console = make_console()
    plan = plan_distillation(config, data=data, teacher=teacher, epochs=epochs, seed=seed, out=out)
    summary = run_distillation(plan, console)
    print_distilled(summary, console)
    if as_json:
        sys.stdout.write(summary.model_dump_json() + "\n")
