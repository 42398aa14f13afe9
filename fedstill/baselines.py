"""What fedstill's student is compared with: students alone, a federation without teachers, a student on pooled records.

Each function is one unit of work that a worker process does while the federation runs: JSON and paths in, JSON out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from fedstill.report.summary import ModelFigures
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Records, Split, load_site
from shared.data.records import joined


def local_figures(federation: str, homes: Mapping[str, Path]) -> str:
    """Students that each institution distils alone from its own teacher, with as many epochs as the federation has."""
    from shared.distill import evaluate
    from shared.distill.alone import train_alone
    from shared.distill.teacher import load_teacher

    config, splits = FederationConfig.model_validate_json(federation), load_splits(homes)
    accuracy = {}
    for name, split in splits.items():
        student = train_alone(split.train, config, load_teacher(homes[name] / "teacher"), seed=config.seed)
        accuracy[name] = evaluate(student, split.test, len(config.task.labels), config.task.heads).accuracy
    return figures(accuracy, splits).model_dump_json()


def bare_figures(federation: str, homes: Mapping[str, Path]) -> str:
    """As :func:`pooled_figures`, without the table of the public graph in the student: what the table buys is the difference."""
    config = FederationConfig.model_validate_json(federation)
    assert config.knowledge is not None
    bare = config.model_copy(update={"knowledge": config.knowledge.model_copy(update={"table": None})})
    return pooled_figures(bare.model_dump_json(), homes)


def pooled_figures(federation: str, homes: Mapping[str, Path]) -> str:
    """A student distilled on the records of all institutions together: the upper bound that only a simulation has."""
    from shared.distill import evaluate
    from shared.distill.alone import train_alone
    from shared.distill.teacher import fit_teacher

    config, splits = FederationConfig.model_validate_json(federation), load_splits(homes)
    pooled = pool([split.train for split in splits.values()])
    teacher = fit_teacher(pooled, config.task, config.teacher, config.teacher_training, seed=config.seed)
    student = train_alone(pooled, config, teacher, seed=config.seed)
    return figures(
        _by_site(lambda test: evaluate(student, test, len(config.task.labels), config.task.heads).accuracy, splits), splits
    ).model_dump_json()


def federated_figures(federation: str, homes: Mapping[str, Path]) -> str:
    """The same federation without teachers: hard labels only, the same rounds, clipping and server optimiser.

    The updates are averaged in the clear, in this process: masks cancel exactly, so only rounding to the ring is left out.
    """
    from fedstill.plain import train_plainly
    from shared.distill import evaluate

    config, splits = FederationConfig.model_validate_json(federation), load_splits(homes)
    alone = config.distillation.model_copy(update={"teacher": "none"})
    student = train_plainly(config.model_copy(update={"distillation": alone}), homes)
    return figures(
        _by_site(lambda test: evaluate(student, test, len(config.task.labels), config.task.heads).accuracy, splits), splits
    ).model_dump_json()


def figures(accuracy: Mapping[str, float], splits: Mapping[str, Split], **sizes: float | int | None) -> ModelFigures:
    """One row of the comparison; the overall accuracy counts every held-out record once."""
    weights = [len(splits[name].test) for name in accuracy]
    return ModelFigures.model_validate(
        {
            "accuracy": dict(accuracy),
            "overall": float(np.average(list(accuracy.values()), weights=weights)),
            "mean": float(np.mean(list(accuracy.values()))),
            **sizes,
        }
    )


def load_splits(homes: Mapping[str, Path]) -> dict[str, Split]:
    """Each institution's records; only a simulation can see them all."""
    return {name: load_site(load_config(InstitutionConfig, home / "institution.toml")) for name, home in homes.items()}


def pool(parts: list[Records]) -> Records:
    """The records of all parts together."""
    return joined(parts)


def _by_site(score: Callable[[Records], float], splits: Mapping[str, Split]) -> dict[str, float]:
    return {name: score(split.test) for name, split in splits.items()}
