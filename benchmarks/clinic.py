"""A clinic to sample records from: an expert's Bayesian network, its triples without strengths, and models that know no federation."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn import functional

from shared.data.records import Records
from shared.knowledge.bif import Network, read_network
from shared.knowledge.elicited import network_triples, state_name
from shared.knowledge.evidence import Groups, typical
from shared.knowledge.linking import CategoryLink, TableMapping
from shared.knowledge.triples import Graph
from shared.task import CategoricalColumn, TabularTask

FRESH = 20_000
FRESH_SEED = 1_000_000
TARGETS = {"pathfinder": "Fault", "hepar2": "Cirrhosis"}
"""The bundled networks, and the variable that is diagnosed."""
UNSEEN = {"hepar2": ("THepatitis", "RHepatitis", "ChHepatitis", "Steatosis", "PBC", "Hyperbilirubinemia", "fibrosis")}
"""Other diseases of the same organ: no record tells them, as nobody knows them before the diagnosis either."""


@dataclass(frozen=True)
class Clinic:
    """A network to sample from, the graph of its triples, and fresh records ``(FRESH, findings)`` with their ``truth``."""

    network: Network
    target: str
    graph: Graph
    findings: tuple[str, ...]
    fresh: NDArray[np.int64]
    truth: NDArray[np.int64]

    @staticmethod
    def open(name: str) -> Clinic:
        """The bundled network, or the one that ``FEDSTILL_NETWORK`` names; ends with code 21 where there is neither."""
        network, target = read_network(network_file(name)), TARGETS[name]
        findings = tuple(node for node in network.nodes if node != target and node not in UNSEEN.get(name, ()))
        graph = network_triples(network, target, findings, named_by=target)
        fresh, truth = sampled(network, FRESH, np.random.default_rng(FRESH_SEED), target, findings)
        return Clinic(network, target, graph, findings, fresh, truth)

    @property
    def diseases(self) -> tuple[str, ...]:
        """The states of what is diagnosed."""
        return self.network.nodes[self.target].states

    @property
    def entities(self) -> tuple[str, ...]:
        """The diseases' entities in the graph."""
        return tuple(state_name(self.target, disease) for disease in self.diseases)

    @property
    def task(self) -> TabularTask:
        """The diagnosis as a task of tables."""
        columns = [CategoricalColumn(kind="categorical", name=name, categories=self.network.nodes[name].states) for name in self.findings]
        return TabularTask(family="tabular", label=self.target, labels=self.diseases, columns=tuple(columns))

    @property
    def mapping(self) -> TableMapping:
        """Every state of every finding is the entity of its name."""
        links = [
            CategoryLink(column=name, entities={state: state_name(name, state) for state in self.network.nodes[name].states})
            for name in self.findings
        ]
        told = {self.graph.entities[head] for head in self.graph.triples[:, 0]}
        # Nothing is typical of having no disease: it is the absence of the others.
        classes = {disease: entity for disease, entity in zip(self.diseases, self.entities, strict=True) if entity in told}
        return TableMapping(classes=classes, columns=tuple(links))

    @property
    def groups(self) -> Groups:
        """A group a finding."""
        return self.mapping.groups(self.task)

    def sample(self, count: int, seed: int) -> Records:
        """Records with their diseases."""
        found, labels = sampled(self.network, count, np.random.default_rng(seed), self.target, self.findings)
        return Records(found.astype(np.float32), labels)

    def f1(self, logits: NDArray[np.floating]) -> float:
        """Macro-F1 over all diseases on the fresh records."""
        labels = np.arange(len(self.diseases))
        return float(f1_score(self.truth, logits.argmax(1), average="macro", labels=labels, zero_division=0))

    def states(self, findings: NDArray[np.integer] | NDArray[np.floating]) -> Tensor:
        """One column for each state ``(records, states)``, 1 where it is found."""
        starts = np.concatenate([[0], np.cumsum(self.groups.sizes())])
        columns = np.zeros((len(findings), starts[-1]), dtype=np.float32)
        columns[np.arange(len(findings))[:, None], findings.astype(np.int64) + starts[:-1]] = 1.0
        return torch.from_numpy(columns)


def network_file(name: str) -> Path:
    """The BIF file to sample from."""
    if given := os.environ.get("FEDSTILL_NETWORK"):
        return Path(given)
    library = importlib.util.find_spec("pgmpy")
    if library is None or library.origin is None:
        print("SKIPPED: install pgmpy==1.1.2 (its bundled networks are read, not its code) or set FEDSTILL_NETWORK", file=sys.stderr)
        raise SystemExit(21)
    return Path(library.origin).parent / "utils" / "example_models" / f"{name}.bif.gz"


def sampled(
    network: Network, count: int, random: np.random.Generator, target: str, findings: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ancestral sampling, each variable given its parents, parents first: ``(count, findings)`` and the target's states ``(count,)``."""
    drawn: dict[str, NDArray[np.int64]] = {}
    for name, node in network.nodes.items():
        rising = node.table[tuple(drawn[parent] for parent in node.parents)].cumsum(axis=-1)
        last = len(node.states) - 1
        drawn[name] = np.minimum((np.broadcast_to(rising, (count, last + 1)) < random.random((count, 1))).sum(axis=1), last)
    return np.stack([drawn[name] for name in findings], axis=1), drawn[target]


def references(clinic: Clinic, records: Records, dealt: Graph) -> dict[str, float]:
    """The models without a hidden layer, with and without the triples, and boosting."""
    states, fresh, labels = clinic.states(records.inputs), clinic.states(clinic.fresh), records.labels
    logistic = LogisticRegression(C=1.0, max_iter=2000).fit(states, labels)
    logits = np.full((len(clinic.truth), len(clinic.diseases)), -np.inf)
    scores = logistic.decision_function(fresh)
    logits[:, logistic.classes_] = scores if scores.ndim > 1 else np.stack([-scores, scores], axis=1)
    found = {"logistic": clinic.f1(logits), "boosting": clinic.f1(boosted(clinic, states, labels))}
    for name, graph in (("linear", clinic.graph), ("linear shuffled", dealt)):
        found[name] = clinic.f1(linear(states, labels, incidence(clinic, graph), fresh))
    weights = incidence(clinic, clinic.graph)
    rarity = np.log(len(clinic.diseases) / np.maximum(weights.sum(axis=0), 1.0))
    found["rarity"] = clinic.f1(linear(states, labels, weights * rarity, fresh))
    return found


def incidence(clinic: Clinic, graph: Graph) -> NDArray[np.float64]:
    """1 where a triple ties the disease to the state ``(diseases, states)``."""
    held = typical(graph, clinic.entities, clinic.groups)
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


def boosted(clinic: Clinic, states: Tensor, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities of LightGBM on the fresh records; diseases without a record get none."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=80, learning_rate=0.05, num_leaves=15, min_child_samples=3, reg_lambda=1.0, n_jobs=1, verbose=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(states.numpy(), labels)
        found = np.zeros((len(clinic.truth), len(clinic.diseases)))
        found[:, model.classes_] = model.predict_proba(clinic.states(clinic.fresh).numpy())
    return found
