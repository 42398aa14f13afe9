"""``fedstill distill``: one teacher, one set of records, one small student, no federation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedstill.cli.teacher import TeacherKind
from shared.config import FederationConfig, load_config
from shared.errors import ConfigError

app = typer.Typer(add_completion=False)


@app.command()
def distill(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SOURCE]", help="A federation.toml, a CSV file, or a folder of images; left out, the built-in data named by --data."
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Built-in data: heart (default) or digits.")] = None,
    label: Annotated[str | None, typer.Option(help="CSV: the column to predict; default: label.")] = None,
    text: Annotated[str | None, typer.Option(help="CSV: the column that holds texts to classify; needs a tokenizer.")] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Texts: a Hugging Face tokenizer.json, or the folder of one; default: the one in --teacher or --base."),
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="CSV: rows may have no label; the teacher alone speaks for them.")
    ] = False,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Its folder or file: fedstill's, Hugging Face's, .onnx, .pt2 or boosted trees. Default: one is fitted."),
    ] = None,
    teacher_kind: Annotated[
        TeacherKind | None,
        typer.Option(help="What is fitted where no --teacher is given; default: network. boosting: tables; pretrained: texts, images."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Of --teacher-kind pretrained: an encoder's folder (texts) or efficientnet-lite0 (images).")
    ] = None,
    cache_limit_mb: Annotated[
        int, typer.Option(min=0, help="Most that the teacher's kept answers may take; above it, the teacher is asked for every batch.")
    ] = 16_384,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; default: rounds × training.epochs of the configuration.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Processor threads; another number gives other last bits.")] = 1,
    device: Annotated[str, typer.Option(help="Where to compute: auto (a CUDA GPU, else the CPU), cpu, cuda, cuda:N or mps.")] = "auto",
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes, or CUDA GPUs, that share each batch of the fit.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Where student, targets and summary go; default: runs/distill-NAME-TIME.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Distil a teacher into a small student on all of the records, and say how much of the teacher is kept.

    Example: fedstill distill patients.csv --label outcome --out runs/patients

    Texts: fedstill distill messages.csv --text message --label intent --teacher models/bert --out runs/intents

    A teacher of another kind is fitted first: fedstill distill patients.csv --label outcome --teacher-kind boosting

    Stopped in the middle, the same command with the same --out goes on: targets that the teacher gave are kept, and so is the fit.
    """
    from fedstill.distilling import plan_distillation, run_distillation
    from fedstill.progress import make_console
    from fedstill.report.distilled import print_distilled

    console = make_console()
    federation = _federation(source, data, label, text, tokenizer, unlabelled, teacher or _base_folder(teacher_kind, base))
    plan = plan_distillation(
        federation,
        teacher=teacher,
        epochs=epochs,
        seed=seed,
        out=out,
        threads=threads,
        teacher_kind=teacher_kind.value if teacher_kind is not None else None,
        base=base,
        cache_limit_mb=cache_limit_mb,
        device=device,
        processes=processes,
    )
    try:
        summary = run_distillation(plan, console)
    except KeyboardInterrupt:
        if plan.folder.is_dir():
            console.print(f"to go on, give the same command with --out {plan.folder}", highlight=False, soft_wrap=True)
        raise
    print_distilled(summary, console)
    if as_json:
        sys.stdout.write(summary.model_dump_json() + "\n")


def _base_folder(kind: TeacherKind | None, base: str | None) -> Path | None:
    return Path(base) if kind == TeacherKind.pretrained and base is not None else None


def _federation(
    source: Path | None,
    data: str | None,
    label: str | None,
    text: str | None,
    tokenizer: Path | None,
    unlabelled: bool,
    reader: Path | None,
) -> FederationConfig:
    from fedstill.inferring import Hints, infer_federation
    from fedstill.plan import builtin_federation
    from shared.tokenise import FILE

    if source is not None and data is not None:
        raise ConfigError("--data names built-in records and SOURCE others; give one of them")
    whole = source is None or source.suffix == ".toml"
    if whole and (label, text, tokenizer, unlabelled) != (None, None, None, False):
        raise ConfigError(
            "--label, --text, --tokenizer and --unlabelled say what a CSV file holds; a federation.toml and built-in data say it themselves"
        )
    if source is None:
        return builtin_federation(data or "heart")
    if whole:
        return load_config(FederationConfig, source)
    # What a teacher reads with, or the encoder that one is made of.
    if text is not None and tokenizer is None and reader is not None and (reader / FILE).is_file():
        tokenizer = reader / FILE
    return infer_federation(source, Hints(label=label or "label", text=text, tokenizer=tokenizer, unlabelled=unlabelled))
