"""``fedstill init``: look at data of one's own and write the federation.toml for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from shared.config import CsvData, FederationConfig, ImageFolderData, SplitSettings
from shared.errors import ConfigError, MissingFileError
from shared.files import write_atomic

app = typer.Typer(add_completion=False)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A CSV file, or a folder of images (SITE/LABEL/*.png, or LABEL/*.png with --sites).")],
    label: Annotated[str, typer.Option(help="CSV: the column to predict.")] = "label",
    site_column: Annotated[str | None, typer.Option(help="CSV: the column that names each row's institution.")] = None,
    sites: Annotated[int | None, typer.Option(help="Deal the records to this many institutions (seeded Dirichlet split).")] = None,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("federation.toml"),
    force: Annotated[bool, typer.Option(help="Overwrite.")] = False,
) -> None:
    """Write a federation.toml with every value spelled out, ready to be read, changed and simulated.

    Example: fedstill init patients.csv --label outcome --site-column hospital && fedstill simulate federation.toml
    """
    from shared.data import infer_task
    from shared.models.presets import preset

    if out.exists() and not force:
        raise ConfigError(f"{out} is already there; give another --out or --force")
    if site_column is not None and sites is not None:
        raise ConfigError("--site-column and --sites exclude each other: the first says what the sites are, the second deals them")
    if not data.exists():
        raise MissingFileError(f"{data} is not there; give a CSV file or a folder of images")
    source: CsvData | ImageFolderData = (
        ImageFolderData(source="images", path=data.absolute())
        if data.is_dir()
        else CsvData(source="csv", path=data.absolute(), site_column=site_column)
    )
    task = infer_task(source, label)
    name = "".join(c if c.isalnum() else "-" for c in data.stem.lower()).strip("-") or "federation"
    config = FederationConfig(name=name, task=task, data=source, split=SplitSettings(sites=sites), **preset(task))
    write_atomic(out, tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)).encode())
    sys.stdout.write(f"wrote {out}: {len(task.labels)} labels, {task.family} task; next: fedstill simulate {out}\n")
