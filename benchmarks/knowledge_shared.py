"""What three hospitals gain for link prediction by sharing rows of embeddings, and no triples.

    python -m benchmarks.knowledge_shared [--seeds 5] [--share 0.25 0.5] [--rounds 20]

A graph of 300 conditions in 15 groups, each typical of some of 240 findings, drugs, sites, causes and contraindications by five relations;
about 4,600 triples. A tenth is held out of everything, and each hospital has each other triple with the chance ``share``. Filtered mean
reciprocal rank (MRR) of the held-out tails, among the entities that a hospital knows, the mean of the three:

``shared``  the product's federation (its rounds, ring and deltas, without masks, which cancel): what a hospital has after the last round
``apart``   the same, each hospital with a salt of its own: rows of names that do not agree are counted apart
``alone``   link prediction of a hospital on its own triples, as many epochs; ``alone, 50 epochs``: as the product without sharing
``joined``  the same on the triples of all three in one place, scored on each hospital's entities

``disturbed``: how far the student is from that of the same federation without a salt, beside how far that went from where it began;
in the default ring of 8 bits most of it is the ring's own rounding, in one of 32 it is not.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load

from benchmarks.averaging import RingAveraging, relative
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.knowledge_pathfinder import written
from benchmarks.loop import Federation
from client.training import Workbench
from fedstill.workspace import SALT, prepare
from server.phases import Kit
from server.site import CoordinatorSite
from server.state import RunState
from server.tools import InstalledToolbox
from shared.config import FederationConfig, InstitutionConfig, KnowledgeSettings, load_config
from shared.data import Records, Split
from shared.data.seeds import generator
from shared.knowledge.pretraining import Embeddings, PretrainingSettings, batch_of, first_embeddings, pretrain
from shared.knowledge.triples import Graph, Row, graph_of, joined
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings

CONDITIONS, GROUPS, HOSPITALS, WIDTH, EPOCHS = 300, 15, 3, 32, 5
KINDS = {"finding": (80, 8), "drug": (50, 4), "site": (30, 3), "cause": (30, 3), "warning": (50, 4)}
"""How many entities there are of each kind, and how many of them are typical of a group of conditions."""
TYPICAL = 0.7
"""How likely a condition has what is typical of its group."""
HELD_OUT = 0.1
FRESH_SEED = 10
"""The graph's size and the rounds were chosen on seed 0."""

WAYS = ("unshared", "shared", "apart", "unshared, 32 bits", "shared, 32 bits")

Rows = Sequence[Row]


def measure(seed: int, share: float, rounds: int) -> dict[str, float]:
    """Every way's MRR, for one seed."""
    rows = triples(seed)
    dealt = generator(seed, "dealt").random((HOSPITALS, len(rows)))
    test = dealt[0] < 0.0
    test[generator(seed, "held out").permutation(len(rows))[: round(HELD_OUT * len(rows))]] = True
    graphs = [graph_of([*public(), *(rows[place] for place in np.flatnonzero((own < share) & ~test).tolist())]) for own in dealt]
    together, truth = joined(joined(graphs[0], graphs[1]), graphs[2]), {row[:3] for row in rows}
    held_out = [rows[place] for place in np.flatnonzero(test).tolist()]

    def mrr(found: Sequence[tuple[Graph, Embeddings]]) -> float:
        return float(np.mean([ranked(own, *one, held_out, truth) for own, one in zip(graphs, found, strict=True)]))

    with tempfile.TemporaryDirectory() as folder:
        ways = {which: federated(graphs, seed, rounds, which, Path(folder) / which) for which in WAYS}
    pooled = together, embedded(together, seed, rounds * EPOCHS)
    return {
        "shared": mrr(list(zip(graphs, ways["shared"].embeddings, strict=True))),
        "apart": mrr(list(zip(graphs, ways["apart"].embeddings, strict=True))),
        "alone": mrr([(graph, embedded(graph, seed + place, rounds * EPOCHS)) for place, graph in enumerate(graphs)]),
        "alone, 50 epochs": mrr([(graph, embedded(graph, seed + place, 50)) for place, graph in enumerate(graphs)]),
        "joined": mrr([pooled] * HOSPITALS),
        "disturbed": disturbed(ways["shared"], ways["unshared"]),
        "disturbed, 32 bits": disturbed(ways["shared, 32 bits"], ways["unshared, 32 bits"]),
    }


def triples(seed: int) -> Rows:
    """The whole graph."""
    random, found = generator(seed, "graph"), list[Row]()
    groups = random.integers(GROUPS, size=CONDITIONS)
    for kind, (entities, typical) in KINDS.items():
        tails = np.array([random.choice(entities, typical, replace=False) for _ in range(GROUPS)])
        for condition, tail in zip(*np.nonzero(random.random((CONDITIONS, typical)) < TYPICAL), strict=True):
            found.append((f"condition {condition}", f"has {kind}", f"{kind} {tails[groups[condition], tail]}", 1.0))
    return found


def public() -> Rows:
    """What the coordinator gives to all: it ties the records to the graph, and has no part in what is scored."""
    return [("ill", "shows", "fever", 1.0)]


def records(seed: int, place: int) -> Split:
    """Records of a task for the student; what it is does not matter here."""
    random = generator(seed, "records", place)
    fever = random.integers(2, size=90)
    labels = np.where(random.random(90) < 0.8, fever, 1 - fever).astype(np.int64)
    rows = Records(np.column_stack([fever, random.normal(size=90)]).astype(np.float32), labels)
    return Split(rows.take(np.arange(60)), rows.take(np.arange(60, 90)))


def federation(seed: int, rounds: int, graph: Path, width: int) -> FederationConfig:
    """The product's settings, with terms of embeddings that weigh nothing, so that they do not move the student."""
    link = {"kind": "category", "column": "fever", "entities": {"yes": "fever"}}
    knowledge = {
        "path": graph,
        "mapping": {"classes": {"ill": "ill"}, "columns": [link]},
        "weight": 0.0,
        "embeddings": {"width": WIDTH, "encoder": "none"},
        "shared": {"epochs": EPOCHS},
    }
    columns = [{"kind": "categorical", "name": "fever", "categories": ["no", "yes"]}, {"name": "age"}]
    return FederationConfig.model_validate(
        {
            "name": "wards",
            "seed": seed,
            "rounds": rounds,
            "task": {"family": "tabular", "label": "state", "labels": ["sound", "ill"], "columns": columns},
            "student": NetworkSettings(width=32, depth=1, architecture="perceptron"),
            "training": TrainingSettings(epochs=2),
            "distillation": DistillationSettings(teacher="none"),
            "aggregation": {"width": width},
            "knowledge": KnowledgeSettings.model_validate(knowledge),
        }
    )


@dataclass(frozen=True)
class Outcome:
    """A federation's student, the one that it began with, and each hospital's embeddings after the last round, if any are shared."""

    student: NDArray[np.float64]
    first: NDArray[np.float64]
    embeddings: list[Embeddings]


def disturbed(shared: Outcome, unshared: Outcome) -> float:
    """As above."""
    return relative(shared.student - unshared.first, unshared.student - unshared.first)


def federated(graphs: Sequence[Graph], seed: int, rounds: int, which: str, folder: Path) -> Outcome:
    """A run of the product's parts; without a salt (``unshared``) hospitals count no entity, and so share none."""
    config = federation(seed, rounds, written(graph_of(public()), folder / "public.tsv"), 32 if "32 bits" in which else 8)
    workspace = prepare(config, folder, {f"hospital-{place}": records(seed, place) for place in range(len(graphs))})
    benches = {}
    for (name, home), graph in zip(workspace.institutions.items(), graphs, strict=True):
        site = load_config(InstitutionConfig, home / "institution.toml")
        own = {"path": written(graph, home / "private.tsv"), "salt_path": None if "unshared" in which else home / SALT}
        if which == "apart":
            (home / SALT).write_bytes(name.encode() * 4)
        benches[name] = Workbench(site.model_copy(update={"knowledge": site.knowledge.model_copy(update=own)}), home)
    kit, seen = Kit(config, InstalledToolbox(CoordinatorSite(workspace.coordinator), config)), list[RunState]()
    state = Federation(kit, benches, RingAveraging()).run(until="calibrate-range", watch=seen.append)
    first = next(one for one in seen if one.facts.phase == "entities").vector
    kept = [home / "state" / f"own-entities-v{rounds:05d}.safetensors" for home in workspace.institutions.values()]
    found = [filled(graph, path) for graph, path in zip(graphs, kept, strict=True) if path.exists()]
    return Outcome(state.vector.astype(np.float64), first.astype(np.float64), found)


def filled(graph: Graph, path: Path) -> Embeddings:
    """What a hospital keeps of a run."""
    (vector,) = load(path.read_bytes()).values()
    return first_embeddings(graph, settings(graph, 0), 0, 0).refilled(vector)


def embedded(graph: Graph, seed: int, epochs: int) -> Embeddings:
    """Link prediction in one place."""
    return pretrain(graph, settings(graph, epochs), seed)


def settings(graph: Graph, epochs: int) -> PretrainingSettings:
    """Those that the product's rounds have."""
    return PretrainingSettings(width=WIDTH, epochs=epochs, batch=batch_of(len(graph)))


def ranked(own: Graph, graph: Graph, found: Embeddings, test: Rows, truth: set[tuple[str, str, str]]) -> float:
    """The filtered MRR of the tails of those ``test`` triples whose parts the hospital with the graph ``own`` knows.

    ``found`` are embeddings of ``graph``, which has all that ``own`` has.
    """
    model, ranks = found.predictor(), []
    places = torch.tensor([graph.ids[name] for name in own.entities])
    for head, relation, tail, _ in test:
        if head not in own.ids or tail not in own.ids or relation not in own.relations:
            continue
        heads, relations = (torch.full_like(places, value) for value in (graph.ids[head], graph.relation(relation)))
        with torch.no_grad():
            scores = model(heads, relations, places).numpy()
        others = np.array([(head, relation, name) not in truth for name in own.entities])
        ranks.append(1.0 + float((scores[others] > scores[own.ids[tail]]).sum()))
    return float(np.mean(1.0 / np.array(ranks)))


def claims(share: float, found: Sequence[Mapping[str, float]]) -> list[Claim]:
    """All seeds' figures."""
    alone = float(np.median([max(one["alone"], one["alone, 50 epochs"]) for one in found]))
    return [
        claim(
            f"{share:g}.{name}",
            [one[name] for one in found],
            "of 1" if "disturbed" in name else "MRR",
            baseline=alone if name == "shared" else None,
        )
        for name in found[0]
    ]


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--share", type=float, nargs="+", default=[0.25, 0.5], help="of the triples, that a hospital has")
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--first-seed", type=int, default=FRESH_SEED, help=f"default {FRESH_SEED}")
    chosen = options.parse_args()
    report("knowledge_shared", measured(chosen), chosen)


def measured(chosen: argparse.Namespace) -> list[Claim]:
    """The claims for each share."""
    torch.set_num_threads(1)
    entries: list[Claim] = []
    for share in chosen.share:
        found = []
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            found.append(measure(seed, share, chosen.rounds))
            print(f"{share:g}, seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in found[-1].items()), flush=True)
        entries += claims(share, found)
    return entries


if __name__ == "__main__":
    main()
