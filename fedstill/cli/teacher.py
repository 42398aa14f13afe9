"""``fedstill teacher``: the large model that an institution fits on its own records and never shows to anyone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.config import FederationConfig, InstitutionConfig, load_config

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Fit an institution's own large model on its own records.")


@app.callback()
def _group() -> None:
    """Keeps ``fit`` a sub-command: ``cache`` and others join it."""


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(help="The institution's folder (with institution.toml).")],
    federation: Annotated[Path, typer.Option(help="The federation.toml whose [teacher] and [teacher_training] are used.")],
    force: Annotated[bool, typer.Option(help="Fit again although a teacher is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit the teacher on the institution's own records, and keep it in its folder.

    Example: fedstill teacher fit hospital-a --federation federation.toml
    """
    from fedstill.teachers import fit_institution

    config = load_config(InstitutionConfig, folder / "institution.toml")
    scores = fit_institution(config, folder, load_config(FederationConfig, federation), force=force)
    if as_json:
        sys.stdout.write(json.dumps(scores.model_dump()) + "\n")
    else:
        sys.stdout.write(f"teacher of {config.name}: {scores.parameters:,} parameters, held-out accuracy {scores.accuracy:.3f}\n")
