"""Federations to try an encoding on: three tasks, each with a seed's hospitals and the held-out records that students are graded on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from benchmarks import retinopathy
from benchmarks.harness import bench_data
from benchmarks.kappa import quadratic_weighted_kappa
from benchmarks.photographs import Photographs, read, synthetic
from fedstill.baselines import pool
from fedstill.plan import builtin_federation
from shared.config import FederationConfig
from shared.data import Records, Split, load_sites
from shared.distill import evaluate
from shared.models import predict
from shared.settings import NetworkSettings

TASKS = ("heart", "digits", "retinamnist")


@dataclass(frozen=True)
class Trial:
    """One seed of a task. ``ordinal``: labels are grades, of which a kappa says more than an accuracy."""

    config: FederationConfig
    sites: Mapping[str, Split]
    graded: Records
    ordinal: bool = False

    def grade(self, student: nn.Module) -> dict[str, float]:
        """The student's figures on the held-out records: accuracy, mean cross-entropy ``loss``, and for grades the ``kappa``."""
        labels = len(self.config.task.labels)
        found = evaluate(student, self.graded, labels)
        figures = {"accuracy": found.accuracy, "loss": found.loss}
        if self.ordinal:
            figures["kappa"] = quadratic_weighted_kappa(self.graded.labels, predict(student, self.graded.inputs), labels)
        return figures

    def shortened(self) -> Trial:
        """The same with next to nothing to learn: two rounds, small networks, teachers that saw their records once."""
        config = self.config
        once = {name: getattr(config, name).model_copy(update={"epochs": 1}) for name in ("teacher_training", "training")}
        small = {"teacher": NetworkSettings(width=8, depth=2), "student": NetworkSettings(width=4, depth=1), "rounds": 2}
        return replace(self, config=config.model_copy(update=once | small))


def builtin(name: str, seed: int) -> Trial:
    """``heart`` (4 hospitals) or ``digits`` (5 sites) with its preset; graded on what all sites hold out."""
    config = builtin_federation(name).model_copy(update={"seed": seed})
    sites = load_sites(config)
    return Trial(config, sites, pool([split.test for split in sites.values()]))


def retinas(photographs: Photographs, seed: int) -> Trial:
    """Five hospitals that grade retinas, with the settings of ``benchmarks/retinopathy.py``; graded on the set's own test records."""
    return Trial(retinopathy.federation(seed, photographs.size), retinopathy.sites(photographs, seed), photographs.test, ordinal=True)


def trials(task: str, *, quick: bool = False) -> Callable[[int], Trial]:
    """The trial of each seed of a task; with ``quick`` a shortened one, of invented photographs.

    Ends with code 21 where a task's data is not there, and says so.
    """
    if task != "retinamnist":
        return lambda seed: builtin(task, seed).shortened() if quick else builtin(task, seed)
    photographs = synthetic() if quick else read("retinamnist", bench_data("retinamnist"))
    return lambda seed: retinas(photographs, seed).shortened() if quick else retinas(photographs, seed)
