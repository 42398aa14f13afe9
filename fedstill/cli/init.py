"""``fedstill init``: look at data of one's own and write the federation.toml for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from shared.errors import ConfigError
from shared.files import write_atomic

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
    head_column: Annotated[
        str | None, typer.Option(help="CSV: the column that names the question which each row answers: the student gets a head for each.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("federation.toml"),
    force: Annotated[bool, typer.Option(help="Overwrite.")] = False,
) -> None:
    """Write a federation.toml with every value spelled out, ready to be read, changed and simulated.

    Example: fedstill init patients.csv --label outcome --site-column hospital && fedstill simulate federation.toml

    Texts: fedstill init messages.csv --text message --label intent --tokenizer model/tokenizer.json --sites 4
    """
    from fedstill.inferring import Hints, infer_federation, suggested_heads

    if out.exists() and not force:
        raise ConfigError(f"{out} is already there; give another --out or --force")
    hints = Hints(
        label=label,
        text=text,
        tokenizer=tokenizer,
        unlabelled=unlabelled,
        site_column=site_column,
        sites=sites,
        head_column=head_column,
    )
    config = infer_federation(data, hints)
    comments = suggested_heads(config)
    table = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    write_atomic(out, (table + (f"\n{comments}" if comments else "")).encode())
    heads = f" in {len(config.task.heads)} heads" if config.task.heads else ""
    sys.stdout.write(f"wrote {out}: {len(config.task.labels)} labels{heads}, {config.task.family} task; next: fedstill simulate {out}\n")
    if comments:
        sys.stderr.write(f"some sites share no label with others; if they answer different questions, see the end of {out}\n")
