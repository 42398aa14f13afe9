"""Federated averaging in the clear, in one process: the plain twin of a masked run, for baselines.

The same works, clipping, weights and server optimiser as ``server/`` uses; only the ring, its rounding, the masks and the
packing of the student's way down are left out: everything is float32 and goes whole, the reference that packing and masks
are measured against. Nothing here is secure, and nothing of it is deployed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from server.annealing import span
from server.optimizer import Moments, step
from server.phases import decode_counters, next_clip_norm
from server.state import vector_blob
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_site
from shared.data.statistics import choose_exponents, exponent_counts, moment_counts, normalisation
from shared.heads import balanced
from shared.work import Normalisation, TrainWork

if TYPE_CHECKING:
    from torch import nn

    from client.training import Workbench
    from shared.models.fragment import Ranges


def train_plainly(config: FederationConfig, homes: Mapping[str, Path]) -> nn.Module:
    """The student after ``config.rounds`` rounds of plain federated averaging over the institutions' folders."""
    from client.training import Workbench
    from shared.models import load_vector, to_vector
    from shared.models.derive import first_student
    from shared.models.outputs import output_ranges

    scales = pooled_normalisation(config, homes)
    student = first_student(config, scales)
    vector = to_vector(student)
    moments: Moments = {}
    with tempfile.TemporaryDirectory() as scratch:
        # Weights are averaged here, so all have the federation's student, whatever shapes their own have.
        sites = {name: _site(home).model_copy(update={"student": config.student}) for name, home in homes.items()}
        benches = {name: Workbench(site, Path(scratch) / name) for name, site in sites.items()}
        clip_norm = config.aggregation.clip_norm
        for version in range(config.rounds):
            vector, moments, unclipped = _round(config, benches, vector, moments, scales, version, clip_norm, output_ranges(student))
            clip_norm = next_clip_norm(clip_norm, unclipped, config.aggregation)
    load_vector(student, vector)
    return student


def pooled_normalisation(config: FederationConfig, homes: Mapping[str, Path]) -> Normalisation:
    """The normalisation constants that the masked statistics rounds would give."""
    task, splits = config.task, [load_site(_site(home)) for home in homes.values()]
    exponents = choose_exponents(task, np.sum([exponent_counts(task, split.train) for split in splits], axis=0))
    counts = [moment_counts(task, split.train, exponents) for split in splits]
    return normalisation(task, {name: np.sum([count[name] for count in counts], axis=0) for name in counts[0]}, exponents)


def _round(
    config: FederationConfig,
    benches: Mapping[str, Workbench],
    vector: NDArray[np.float32],
    moments: Moments,
    scales: Normalisation,
    version: int,
    clip_norm: float,
    outputs: Sequence[Ranges],
) -> tuple[NDArray[np.float32], Moments, float]:
    work = TrainWork(
        version=version,
        seed=config.seed,
        normalisation=scales,
        training=config.training,
        distillation=config.distillation,
        span=span(version, config),
    )
    total, weights, within, heads = np.zeros(vector.size), 0, 0, np.zeros(len(config.task.heads), np.int64)
    for bench in benches.values():
        done = bench.perform(work, vector_blob(vector), version + 1)
        if done.update is not None:
            update = done.update.astype(np.float64)
            total += done.weight * _clipped(update, clip_norm)
            weights += done.weight
            within += bool(np.linalg.norm(update) <= clip_norm)
            heads += decode_counters(work, config.task, done.counters.astype(np.uint64)).get("head_weights", heads)
    mean = balanced(total / weights, weights, heads, outputs)
    return *step(vector, mean, moments, config.optimizer), within / len(benches)


def _clipped(update: NDArray[np.float64], clip_norm: float) -> NDArray[np.float64]:
    clipped: NDArray[np.float64] = update * (clip_norm / max(float(np.linalg.norm(update)), clip_norm))
    return clipped


def _site(home: Path) -> InstitutionConfig:
    return load_config(InstitutionConfig, home / "institution.toml")
