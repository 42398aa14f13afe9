"""Diagnosis from few records: what triples without strengths teach a student.

    python -m benchmarks.knowledge_pathfinder [--seeds 5] [--records 100 250 500 2000] [--hospitals 1 5]

Pathfinder (Heckerman et al. 1992; 63 diseases of the lymph node, 108 findings) as bundled with pgmpy, or ``FEDSTILL_NETWORK``, a BIF
file. Records are sampled from the network. The graph is (disease, shows, finding = state) wherever P(state | disease) >= 0.25 and
>= 2 P(state); neither the loss nor the student sees a probability of the network. Macro-F1 on 20,000 fresh records, for:

``alone``       the student (one hidden layer of 128) on its labels
``logistic``    logistic regression, the same records
``boosting``    gradient boosting (LightGBM), the same records
``linear``      logistic regression whose weights begin at, and are drawn to, a learned scale times the triples
``rarity``      the same with each triple weighed by how few diseases share it (inverse document frequency): a stronger linear one
``graph``       the evidence of the graph alone, no label but for its calibration
``soft``        the student, and the graph's answers on its own records as soft targets
``taught``      the student, and imagined records of the graph
``shuffled``    ``taught`` with the triples' tails dealt out anew: a gain that survives is not knowledge

With ``--hospitals 5`` the records are dealt to five, each calibrates the graph on its own, and the students are averaged each round.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import Claim, claim, parser, report
from shared.knowledge.bif import Network, read_network
from shared.knowledge.elicited import network_triples, state_name
from shared.knowledge.evidence import Groups, likelihoods, log_evidence, typical
from shared.knowledge.imagined import Imagination
from shared.knowledge.triples import Graph, shuffled
from shared.knowledge.trust import best_calibration, class_prior

TARGET = "Fault"
FRESH = 20_000
FRESH_SEED = 1_000_000
GAIN_POINTS = 14.3
STEPS, RATE, DECAY, BATCH, IMAGINED = 800, 3e-3, 1e-2, 64, 128
POOL = 32_768
ROUNDS, LOCAL_STEPS = 20, 40


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--records", type=int, nargs="+", default=[100, 250, 500, 2000], help="sizes of the training set")
    options.add_argument("--hospitals", type=int, nargs="+", default=[1, 5], help="1: pooled")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    report("knowledge_pathfinder", measured(Clinic.open(), arguments), arguments)


def measured(clinic: Clinic, arguments: argparse.Namespace) -> list[Claim]:
    """The claims for each size."""
    claims: list[Claim] = []
    for count in arguments.records:
        scores: dict[str, list[float]] = {}
        for seed in range(arguments.seeds):
            for name, value in scored(clinic, count, seed, arguments.hospitals).items():
                scores.setdefault(name, []).append(value)
            print(f"{count} records, seed {seed}: " + ", ".join(f"{name} {found[-1]:.3f}" for name, found in scores.items()), flush=True)
        for name, found in scores.items():
            claims.append(claim(f"{count}.{name}", found, "macro-F1" if not name.endswith("trust") else "share"))
        for hospitals in arguments.hospitals:
            end = "" if hospitals == 1 else f".{hospitals}"
            alone, taught = scores[f"alone{end}"], scores[f"taught{end}"]
            gains = [100 * (one - other) for one, other in zip(taught, alone, strict=True)]
            claims.append(claim(f"{count}.gain{end}", gains, "points", baseline=100 * statistics.median(alone), goal=GAIN_POINTS))
    return claims


def scored(clinic: Clinic, count: int, seed: int, hospitals: list[int]) -> dict[str, float]:
    """Macro-F1 of each method with ``count`` records drawn by ``seed``."""
    findings, labels = clinic.sample(count, np.random.default_rng(seed))
    dealt = shuffled(clinic.graph, seed)
    scores: dict[str, float] = {}
    if 1 in hospitals:
        scores |= references(clinic, findings, labels, dealt) | pooled(clinic, findings, labels, seed, dealt)
    for number in hospitals:
        if number > 1:
            for name, graph in (("alone", None), ("taught", clinic.graph), ("shuffled", dealt)):
                scores[f"{name}.{number}"] = clinic.score(federated(clinic, findings, labels, seed, number, graph))
    return scores


@dataclass(frozen=True)
class Clinic:
    """A network to sample from, the graph of its triples, and fresh records."""

    network: Network
    graph: Graph
    groups: Groups
    fresh: NDArray[np.int64]
    truth: NDArray[np.int64]

    @staticmethod
    def open() -> Clinic:
        """The bundled network, or the one that ``FEDSTILL_NETWORK`` names; ends with code 21 where there is neither."""
        network = read_network(network_file("pathfinder"))
        names = tuple(name for name in network.nodes if name != TARGET)
        entities = tuple(tuple(state_name(name, state) for state in network.nodes[name].states) for name in names)
        findings, truth = sampled(network, FRESH, np.random.default_rng(FRESH_SEED))
        return Clinic(network, network_triples(network, TARGET), Groups(names, entities), findings, truth)

    @property
    def classes(self) -> tuple[str, ...]:
        """The diseases, each its own entity."""
        return self.network.nodes[TARGET].states

    def sample(self, count: int, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Findings ``(count, groups)`` and diseases ``(count,)``."""
        return sampled(self.network, count, random)

    def score(self, model: nn.Module) -> float:
        """Macro-F1 of the model on the fresh records."""
        model.eval()
        with torch.no_grad():
            return self.f1(model(self.states(self.fresh)).numpy())

    def f1(self, logits: NDArray[np.floating]) -> float:
        """Macro-F1 over all diseases."""
        labels = np.arange(len(self.classes))
        return float(f1_score(self.truth, logits.argmax(1), average="macro", labels=labels, zero_division=0))

    def states(self, findings: NDArray[np.int64]) -> Tensor:
        """One column for each state ``(records, states)``, 1 where it is found."""
        starts = np.concatenate([[0], np.cumsum(self.groups.sizes())])
        columns = np.zeros((len(findings), starts[-1]), dtype=np.float32)
        columns[np.arange(len(findings))[:, None], findings + starts[:-1]] = 1.0
        return torch.from_numpy(columns)

    def imagination(self, graph: Graph, findings: NDArray[np.int64], labels: NDArray[np.int64]) -> Imagination:
        """The graph as these records bear it out."""
        held, marginals = typical(graph, self.classes, self.groups), self.groups.marginals(findings)
        found = best_calibration(held, marginals, findings, labels)
        return Imagination(likelihoods(held, marginals, found.hold, found.manner), found)


def network_file(name: str) -> Path:
    """The BIF file to sample from."""
    if given := os.environ.get("FEDSTILL_NETWORK"):
        return Path(given)
    library = importlib.util.find_spec("pgmpy")
    if library is None or library.origin is None:
        print("SKIPPED: install pgmpy==1.1.2 (its bundled networks are read, not its code) or set FEDSTILL_NETWORK", file=sys.stderr)
        raise SystemExit(21)
    return Path(library.origin).parent / "utils" / "example_models" / f"{name}.bif.gz"


def sampled(network: Network, count: int, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ancestral sampling: each variable given its parents, parents first."""
    drawn: dict[str, NDArray[np.int64]] = {}
    for name, node in network.nodes.items():
        rising = node.table[tuple(drawn[parent] for parent in node.parents)].cumsum(axis=-1)
        last = len(node.states) - 1
        drawn[name] = np.minimum((np.broadcast_to(rising, (count, last + 1)) < random.random((count, 1))).sum(axis=1), last)
    return np.stack([drawn[name] for name in network.nodes if name != TARGET], axis=1), drawn[TARGET]


def references(clinic: Clinic, findings: NDArray[np.int64], labels: NDArray[np.int64], dealt: Graph) -> dict[str, float]:
    """The models without a hidden layer, and boosting."""
    states, fresh = clinic.states(findings), clinic.states(clinic.fresh)
    logistic = LogisticRegression(C=1.0, max_iter=2000).fit(states, labels)
    logits = np.full((FRESH, len(clinic.classes)), -np.inf)
    logits[:, logistic.classes_] = logistic.decision_function(fresh)
    found = {"logistic": clinic.f1(logits), "boosting": clinic.f1(boosted(clinic, findings, labels))}
    for name, graph in (("linear", clinic.graph), ("linear shuffled", dealt)):
        found[name] = clinic.f1(linear(states, labels, incidence(clinic, graph), fresh))
    weights = incidence(clinic, clinic.graph)
    rarity = np.log(len(clinic.classes) / np.maximum(weights.sum(axis=0), 1.0))
    found["rarity"] = clinic.f1(linear(states, labels, weights * rarity, fresh))
    return found


def incidence(clinic: Clinic, graph: Graph) -> NDArray[np.float64]:
    """1 where a triple ties the disease to the state ``(diseases, states)``."""
    held = typical(graph, clinic.classes, clinic.groups)
    parts = [held[:, place, :size] for place, size in enumerate(clinic.groups.sizes())]
    return np.concatenate(parts, axis=1).astype(np.float64)


def linear(states: Tensor, labels: NDArray[np.int64], weights: NDArray[np.float64], fresh: Tensor) -> NDArray[np.float64]:
    """Logits on ``fresh`` of logistic regression with weights ``scale · triples + change``, a ridge on the change alone."""
    inputs, truth, base = states.double(), torch.from_numpy(labels), torch.from_numpy(weights)
    scale, change = torch.zeros((), dtype=torch.float64), torch.zeros_like(base)
    bias = torch.zeros(len(base), dtype=torch.float64)
    parameters = [part.requires_grad_() for part in (scale, change, bias)]
    optimizer = torch.optim.LBFGS(parameters, max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(inputs @ (scale * base + change).T + bias, truth, reduction="sum") + 0.5 * (change**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        found: NDArray[np.float64] = (fresh.double() @ (scale * base + change).T + bias).numpy()
    return found


def boosted(clinic: Clinic, findings: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities of LightGBM on the fresh records; diseases without a record get none."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=80, learning_rate=0.05, num_leaves=15, min_child_samples=3, reg_lambda=1.0, n_jobs=1, verbose=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(clinic.states(findings).numpy(), labels)
        found = np.zeros((FRESH, len(clinic.classes)))
        found[:, model.classes_] = model.predict_proba(clinic.states(clinic.fresh).numpy())
    return found


def pooled(clinic: Clinic, findings: NDArray[np.int64], labels: NDArray[np.int64], seed: int, dealt: Graph) -> dict[str, float]:
    """The student alone and with knowledge, all records in one place."""
    graphs = {"taught": clinic.graph, "shuffled": dealt}
    imagined = {name: clinic.imagination(graph, findings, labels) for name, graph in graphs.items()}
    own = imagined["taught"]
    soft = own.calibration.targets(log_evidence(own.probabilities, findings)).astype(np.float32)
    found = {"alone": clinic.score(fitted(clinic, findings, labels, seed))}
    found["graph"] = clinic.f1(log_evidence(own.probabilities, clinic.fresh))
    found["trust"], found["shuffled trust"] = (imagined[name].calibration.trust for name in graphs)
    found["soft"] = clinic.score(fitted(clinic, findings, labels, seed, soft=soft))
    for name, imagination in imagined.items():
        found[name] = clinic.score(fitted(clinic, findings, labels, seed, imagination))
    return found


def student(clinic: Clinic, seed: int) -> nn.Module:
    """One hidden layer."""
    torch.manual_seed(seed)
    states = int(clinic.groups.sizes().sum())
    return nn.Sequential(nn.Linear(states, 128), nn.GELU(), nn.Dropout(0.2), nn.Linear(128, len(clinic.classes)))


def fitted(
    clinic: Clinic,
    findings: NDArray[np.int64],
    labels: NDArray[np.int64],
    seed: int,
    imagination: Imagination | None = None,
    soft: NDArray[np.float32] | None = None,
) -> nn.Module:
    """A student after :data:`STEPS` steps."""
    model = student(clinic, seed)
    learn(clinic, model, findings, labels, seed, imagination, soft, steps=STEPS, rate=RATE, cycle=True)
    return model


def learn(
    clinic: Clinic,
    model: nn.Module,
    findings: NDArray[np.int64],
    labels: NDArray[np.int64],
    seed: int,
    imagination: Imagination | None,
    soft: NDArray[np.float32] | None,
    *,
    steps: int,
    rate: float,
    cycle: bool,
) -> None:
    """Steps of AdamW on labels, soft targets on the same records, and imagined records, the last weighed by trust."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps) if cycle else None
    states, truth = clinic.states(findings), torch.from_numpy(labels)
    pool = None if imagination is None else imagination.pool(POOL * steps // STEPS, random)
    answers = None if imagination is None or pool is None else imagination.targets(pool)
    imagined = None if pool is None else clinic.states(pool)
    # Every student's logits are for even classes, which is what macro-F1 asks: those of real records carry their shares on top (Menon et
    # al. 2021, eq. 10). Imagined records are drawn evenly and carry none.
    shift = torch.from_numpy(np.log(class_prior(labels, len(clinic.classes)))).float()
    model.train()
    for _ in range(steps):
        chosen = torch.from_numpy(random.integers(0, len(labels), min(BATCH, len(labels))))
        logits = model(states[chosen])
        loss = functional.cross_entropy(logits + shift, truth[chosen])
        if soft is not None:
            loss = loss + distance(logits, torch.from_numpy(soft)[chosen])
        if imagination is not None and imagined is not None and answers is not None:
            drawn = torch.from_numpy(random.integers(0, len(answers), IMAGINED))
            loss = loss + imagination.calibration.trust * distance(model(imagined[drawn]), torch.from_numpy(answers)[drawn])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if schedule is not None:
            schedule.step()


def distance(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean KL divergence from the targets."""
    return functional.kl_div(functional.log_softmax(logits, dim=1), targets, reduction="batchmean")


def federated(
    clinic: Clinic, findings: NDArray[np.int64], labels: NDArray[np.int64], seed: int, hospitals: int, graph: Graph | None
) -> nn.Module:
    """The average of the hospitals' students after :data:`ROUNDS` rounds of :data:`LOCAL_STEPS` steps each."""
    parts = np.array_split(np.random.default_rng(seed).permutation(len(labels)), hospitals)
    known: list[Imagination | None] = [None if graph is None else clinic.imagination(graph, findings[part], labels[part]) for part in parts]
    model = student(clinic, seed)
    for number in range(ROUNDS):
        sent, total = {name: value.clone() for name, value in model.state_dict().items()}, dict[str, Tensor]()
        for site, part in enumerate(parts):
            model.load_state_dict(sent)
            own_seed = (seed * ROUNDS + number) * hospitals + site
            rate = RATE * (1 - number / ROUNDS)
            learn(clinic, model, findings[part], labels[part], own_seed, known[site], None, steps=LOCAL_STEPS, rate=rate, cycle=False)
            for name, value in model.state_dict().items():
                total[name] = total.get(name, torch.zeros_like(value)) + value * (len(part) / len(labels))
        model.load_state_dict(total)
    return model


if __name__ == "__main__":
    main()
