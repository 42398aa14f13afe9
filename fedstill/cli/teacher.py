"""``fedstill teacher``: the large model of an institution, which is never shown to anyone."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from shared.config import FederationConfig, InstitutionConfig, load_config

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Fit, show and ask an institution's own large model.")
Folder = Annotated[Path, typer.Argument(help="The institution's folder (with institution.toml).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class TeacherKind(StrEnum):
    """What can be fitted: a network of the [teacher] table, boosted trees (tables), or a pretrained encoder (texts, images)."""

    network = "network"
    boosting = "boosting"
    pretrained = "pretrained"


@app.command()
def fit(
    folder: Folder,
    federation: Annotated[Path, typer.Option(help="The federation.toml whose tables teacher and teacher_training are used.")],
    kind: Annotated[
        TeacherKind, typer.Option(help="What is fitted: boosting for tables, pretrained for texts and images.")
    ] = TeacherKind.network,
    base: Annotated[
        str | None, typer.Option(help="Of --kind pretrained: an encoder's folder (texts) or efficientnet-lite0 (images).")
    ] = None,
    force: Annotated[bool, typer.Option(help="Fit again although a teacher is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the teacher on the institution's own records, and keep it in its folder.

    Example: fedstill teacher fit hospital-a --federation federation.toml
    """
    from fedstill.progress import counted, make_console
    from fedstill.teachers import fit_institution

    config, plan = load_config(InstitutionConfig, folder / "institution.toml"), load_config(FederationConfig, federation)
    with counted(make_console(), f"fitting the teacher of {config.name}") as on_step:
        scores = fit_institution(config, folder, plan, force=force, kind=kind.value, base=base, on_step=on_step)
    if as_json:
        sys.stdout.write(json.dumps(scores.model_dump()) + "\n")
    else:
        sys.stdout.write(f"teacher of {config.name}: {scores.parameters:,} parameters, held-out accuracy {scores.accuracy:.3f}\n")


@app.command()
def cache(
    folder: Folder,
    federation: Annotated[Path, typer.Option(help="The federation.toml whose table distillation says what is asked.")],
    as_json: AsJson = False,
) -> None:
    """Ask the teacher for every training record now, and keep its answers privately. Stopped, it goes on where it was.

    Example: fedstill teacher cache hospital-a --federation federation.toml
    """
    from fedstill.progress import counted, make_console
    from fedstill.teachers import MEGABYTE, cache_institution

    config, plan = load_config(InstitutionConfig, folder / "institution.toml"), load_config(FederationConfig, federation)

    def announce(size: int) -> None:
        sys.stderr.write(f"the targets of {config.name} take {size / MEGABYTE:.1f} MB on disk\n")

    with counted(make_console(), f"asking the teacher of {config.name}") as on_chunk:
        say = partial(make_console().print, highlight=False, soft_wrap=True)
        found = cache_institution(config, folder, plan, announce=announce, say=say, on_chunk=on_chunk)
    if as_json:
        sys.stdout.write(json.dumps(found.model_dump()) + "\n")
        return
    views = f" in {found.views} views" if found.views > 1 else ""
    sys.stdout.write(f"targets of {found.records} records{views} are kept in {found.folder} ({found.bytes / MEGABYTE:.1f} MB)\n")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="The institution's folder, or a teacher's folder or file.")],
    federation: Annotated[Path | None, typer.Option(help="The federation.toml with the task of a teacher that does not tell it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what kind of teacher lies there, how large it is, how many layers it shows, and its digest.

    Example: fedstill teacher show hospital-a
    """
    from fedstill.teachers import describe_teacher

    found = describe_teacher(path, federation)
    if as_json:
        sys.stdout.write(json.dumps(found.model_dump()) + "\n")
        return
    shown = f"{found.layers} layers to learn from" if found.layers else "its output alone to learn from"
    sys.stdout.write(f"{found.kind}: {found.parameters:,} parameters, {shown}\nsha256 {found.digest}\n")
