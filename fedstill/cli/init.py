"""``fedstill init``: look at data of one's own and write the federation.toml for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from shared.config import CsvData, FederationConfig, ImageFolderData, SplitSettings
from shared.errors import ConfigError, MissingFileError
from shared.files import read_bytes, write_atomic
from shared.task import Task

app = typer.Typer(add_completion=False)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A CSV file, or a folder of images (SITE/LABEL/*.png, or LABEL/*.png with --sites).")],
    label: Annotated[str, typer.Option(help="CSV: the column to predict.")] = "label",
    text: Annotated[str | None, typer.Option(help="CSV: the column that holds texts to classify; needs --tokenizer.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Texts: a Hugging Face tokenizer.json, or the folder of one.")] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="CSV: rows may have no label; the teacher alone speaks for them.")
    ] = False,
    site_column: Annotated[str | None, typer.Option(help="CSV: the column that names each row's institution.")] = None,
    sites: Annotated[int | None, typer.Option(help="Deal the records to this many institutions (seeded Dirichlet split).")] = None,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("federation.toml"),
    force: Annotated[bool, typer.Option(help="Overwrite.")] = False,
) -> None:
    """Write a federation.toml with every value spelled out, ready to be read, changed and simulated.

    Example: fedstill init patients.csv --label outcome --site-column hospital && fedstill simulate federation.toml

    Texts: fedstill init messages.csv --text message --label intent --tokenizer model/tokenizer.json --sites 4
    """
    from shared.models.presets import preset

    if out.exists() and not force:
        raise ConfigError(f"{out} is already there; give another --out or --force")
    if site_column is not None and sites is not None:
        raise ConfigError("--site-column and --sites exclude each other: the first says what the sites are, the second deals them")
    if not data.exists():
        raise MissingFileError(f"{data} is not there; give a CSV file or a folder of images")
    if (text is None) != (tokenizer is None) or (text is not None and data.is_dir()):
        raise ConfigError("--text and --tokenizer belong together, and to a CSV file: give both, or neither")
    source: CsvData | ImageFolderData = (
        ImageFolderData(source="images", path=data.absolute())
        if data.is_dir()
        else CsvData(source="csv", path=data.absolute(), site_column=site_column, unlabelled=unlabelled)
    )
    task, file = _task(source, label, text, tokenizer)
    name = "".join(c if c.isalnum() else "-" for c in data.stem.lower()).strip("-") or "federation"
    split = SplitSettings(sites=sites)
    config = FederationConfig(name=name, task=task, data=source, split=split, tokenizer_path=file, **preset(task))
    write_atomic(out, tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)).encode())
    sys.stdout.write(f"wrote {out}: {len(task.labels)} labels, {task.family} task; next: fedstill simulate {out}\n")


def _task(source: CsvData | ImageFolderData, label: str, text: str | None, tokenizer: Path | None) -> tuple[Task, Path | None]:
    from shared.data import infer_task, infer_text_task
    from shared.data.text import tokeniser_file
    from shared.tokenise import Tokeniser

    if text is None or tokenizer is None or not isinstance(source, CsvData):
        return infer_task(source, label), None
    file = tokeniser_file(tokenizer).absolute()
    return infer_text_task(source, text, label, Tokeniser(read_bytes(file, what="tokeniser"))), file
