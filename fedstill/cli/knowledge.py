"""``fedstill knowledge``: graphs of triples, from any file to one table, looked at and embedded, and figures of linked transactions."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared.errors import ConfigError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Build, inspect and embed a graph of knowledge.")
GraphName = Annotated[str, typer.Argument(help="A file of triples (TSV, CSV, N-Triples, Turtle, BIF; .gz), or a built-in graph: heart.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Every = Annotated[bool, typer.Option("--all", help="Show every bad row, not only the first 20 of a file.")]
Before = Annotated[str | None, typer.Option(help="Of triples with dates: only what held before this time (a number, or a date).")]
Target = Annotated[str | None, typer.Option("--about", help="BIF: the variable whose states the triples are about; default: all.")]


class ModelName(StrEnum):
    """How triples are scored."""

    distmult = "distmult"
    complex = "complex"
    rotate = "rotate"


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="The table that is written: .tsv or .tsv.gz.")],
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILES]...", help="Files of triples, or built-in graphs; merged.")] = None,
    transactions: Annotated[Path | None, typer.Option(help="A CSV or TSV file of transactions, in place of FILES.")] = None,
    source: Annotated[str | None, typer.Option(help="Transactions: the column that says who pays.")] = None,
    target: Annotated[str | None, typer.Option(help="Transactions: the column that says who is paid.")] = None,
    time: Annotated[str | None, typer.Option(help="Transactions: the column of times: whole numbers, or ISO dates.")] = None,
    location: Annotated[str | None, typer.Option(help="Transactions: the column that says where.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Transactions: the column that says of what kind.")] = None,
    window: Annotated[
        str | None,
        typer.Option(help="Transactions: one edge a window of this length: 7d, 12h, or units of the column; default: a day, or 1."),
    ] = None,
    before: Before = None,
    about: Target = None,
    strict: Annotated[bool, typer.Option(help="Write nothing where a row is bad.")] = False,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Read triples from any files, or make them from transactions, and write one table: head, relation, tail, weight (and time).

    Example: fedstill knowledge build ontology.nt pairs.csv.gz --out graph.tsv

    Transactions: fedstill knowledge build --transactions paid.csv --source from --target to --time day --window 7d --out paid.tsv
    """
    from fedstill.knowledge.building import Built, from_files, from_transactions, write_graph
    from fedstill.progress import make_console
    from fedstill.report.graphs import print_bad, print_built
    from shared.knowledge.transaction_file import TransactionNames

    def read() -> Built:
        columns = (source, target, time, location, kind, window)
        if transactions is None:
            if not files:
                raise ConfigError("there is nothing to build from; give FILES or --transactions")
            if any(name is not None for name in columns):
                raise ConfigError(
                    "--source, --target, --time, --location, --type and --window belong to --transactions; give it or leave them out"
                )
            return from_files(files, target=about, before=before, every=every)
        if files or about is not None:
            raise ConfigError("--transactions makes a graph with dates, which is joined with no other; leave FILES and --about out")
        if source is None or target is None or time is None:
            raise ConfigError("--transactions needs --source, --target and --time: the columns that say who pays whom, and when")
        names = TransactionNames(source, target, time, location, kind, window)
        return from_transactions(transactions, names, before=before, every=every)

    built = read()
    if strict and built.bad:
        print_bad(built.bad, [str(row) for row in built.shown], make_console())
    summary = write_graph(built, out, files or [transactions or ""], strict=strict)
    if as_json:
        sys.stdout.write(summary.model_dump_json() + "\n")
    else:
        print_built(summary, Console(file=sys.stdout))


@app.command()
def inspect(
    graph: GraphName,
    entity: Annotated[str | None, typer.Argument(metavar="[ENTITY]", help="One entity: its triples in both directions.")] = None,
    hops: Annotated[int, typer.Option(min=1, max=6, help="How many triples apart a neighbour may be.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Draw the neighbourhood into this file (.png, .svg, .pdf).")] = None,
    most: Annotated[int, typer.Option(min=1, max=200, help="The most neighbours that are drawn, the most connected first.")] = 24,
    embeddings: Annotated[Path | None, typer.Option(help="A file of `embed`: also list the entities nearest by cosine.")] = None,
    nearest: Annotated[int, typer.Option(min=1, max=1000, help="How many of them.")] = 10,
    config: Annotated[Path | None, typer.Option(help="A federation.toml: how far do its columns reach into the graph?")] = None,
    mapping: Annotated[
        str | None, typer.Option(help="What they name: a TOML file, or a built-in graph's: heart; default: the federation's own.")
    ] = None,
    before: Before = None,
    about: Target = None,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Say how large a graph is and around whom it is; of one entity, its triples, its neighbours, and a picture of them.

    Example: fedstill knowledge inspect heart "myocardial ischaemia" --hops 2 --plot ischaemia.png

    Columns: fedstill knowledge inspect graph.tsv --config federation.toml --mapping mapping.toml
    """
    from fedstill.knowledge.building import EVERY, held_before
    from fedstill.knowledge.inspecting import Inspection, entity_facts, links
    from fedstill.report.graphs import print_inspection
    from shared.knowledge.facts import facts_of
    from shared.knowledge.opening import read_graph
    from shared.knowledge.reading import SHOWN

    if config is None and mapping is not None:
        raise ConfigError("--mapping says which entity a column of a federation names; give its federation.toml as --config")
    if entity is None and (plot is not None or embeddings is not None):
        raise ConfigError("--plot and --embeddings show what is near an entity; name one")
    reading = read_graph(graph, target=about, shown=EVERY if every else SHOWN)
    whole = held_before(reading.graph, before)
    facts = entity_facts(whole, entity, hops) if entity is not None else None
    left_out, near = 0, None
    if plot is not None and entity is not None:
        from fedstill.report.neighbourhood import draw_neighbourhood

        left_out = draw_neighbourhood(whole, entity, plot, hops=hops, most=most)
    if embeddings is not None and entity is not None:
        from shared.knowledge.embedding_file import load_embeddings

        near = tuple(load_embeddings(embeddings).nearest(entity, nearest))
    found = Inspection(
        graph=facts_of(whole),
        bad=reading.bad,
        bad_rows=tuple(str(row) for row in reading.shown),
        entity=facts,
        nearest=near,
        coverage=links(whole, config, mapping) if config is not None else None,
        plot=plot,
        left_out=left_out,
    )
    if as_json:
        sys.stdout.write(found.model_dump_json() + "\n")
    else:
        print_inspection(found, Console(file=sys.stdout))


@app.command()
def embed(
    graph: GraphName,
    out: Annotated[Path, typer.Option(help="The file that is written: safetensors, with names inside.")],
    model: Annotated[
        ModelName, typer.Option(help="How triples are scored; distmult cannot tell a relation from its inverse.")
    ] = ModelName.complex,
    dim: Annotated[int | None, typer.Option(min=2, max=1024, help="Numbers an entity, even; default: 64.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=10_000, help="Epochs over all triples; default: 15.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    held_out: Annotated[
        int, typer.Option(min=0, help="Triples (a tenth at most) that are not learnt but ranked, to say how good the embeddings are.")
    ] = 1000,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Processor threads; another number gives other last bits.")] = 1,
    before: Before = None,
    about: Target = None,
    as_json: AsJson = False,
) -> None:
    """Learn a vector for each entity by link prediction, and say how well triples that were held out are completed (filtered MRR, Hits@10).

    Example: fedstill knowledge embed graph.tsv --out embeddings.safetensors --model rotate

    Stopped in the middle, the same command goes on where the fit was kept last (every 30 s).
    """
    from fedstill.knowledge.building import held_before
    from fedstill.knowledge.embedding import Embedding, embed_graph, settings_of
    from fedstill.progress import counted, make_console
    from fedstill.report.graphs import print_embedded
    from shared.knowledge.opening import read_graph

    console = make_console()
    plan = Embedding(out, settings_of(model.value, width=dim, epochs=epochs), seed, held_out, threads)
    whole = held_before(read_graph(graph, target=about).graph, before)
    try:
        with counted(console, f"embedding {graph}") as on_epoch, counted(console, "ranking held-out triples") as on_rank:
            summary = embed_graph(whole, plan, on_epoch=on_epoch, on_rank=on_rank)
    except KeyboardInterrupt:
        kept = "to go on, give the same command again" if plan.kept.exists() else "nothing was kept yet: the next fit starts anew"
        console.print(kept, highlight=False, soft_wrap=True)
        raise
    if as_json:
        sys.stdout.write(summary.model_dump_json() + "\n")
    else:
        print_embedded(summary, Console(file=sys.stdout))


@app.command()
def figures(
    config: Annotated[Path, typer.Argument(help="The institution's institution.toml, whose [data.transactions] links its file.")],
    out: Annotated[Path, typer.Option(help="The CSV file that is written: the institution's, with the figures as further columns.")],
    as_json: AsJson = False,
) -> None:
    """Write an institution's transactions with what its own earlier ones say of each, as the federation's student takes it.

    Example: fedstill knowledge figures institution.toml --out with-figures.csv
    """
    from fedstill.knowledge.figures import write_figures
    from shared.config import InstitutionConfig, load_config

    found = write_figures(load_config(InstitutionConfig, config), out)
    if as_json:
        sys.stdout.write(found.model_dump_json() + "\n")
    else:
        sys.stdout.write(f"{found.out}: {found.rows} rows, {found.linked} of them linked; figures: {', '.join(found.figures)}\n")
