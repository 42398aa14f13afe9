"""What fedstill's student is compared with: students alone, a federation without teachers, a student on pooled records.

Each function is one unit of work that a worker process can do while the federation runs; figures come back, not models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedstill.report.summary import ModelFigures
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Records, Split, load_site


def local_figures(config: FederationConfig, home: Path) -> float:
    """Held-out accuracy of a student distilled by one institution alone, with as many epochs as the federation gives it."""
    from shared.distill import evaluate
    from shared.distill.baselines import train_alone
    from shared.distill.teacher import load_teacher

    site = load_config(InstitutionConfig, home / "institution.toml")
    split = load_site(site)
    teacher = load_teacher(home / "teacher", config.task)
    student = train_alone(split.train, config, teacher, seed=config.seed)
    return evaluate(student, split.test, len(config.task.labels)).accuracy


def pooled_figures(config: FederationConfig, homes: Mapping[str, Path]) -> ModelFigures:
    """A student (with a teacher) on the records of all institutions together: the upper bound that only a simulation has."""
    from shared.distill import evaluate
    from shared.distill.baselines import train_alone
    from shared.distill.teacher import fit_teacher

    splits = _splits(homes)
    records = Records(
        np.concatenate([split.train.inputs for split in splits.values()]),
        np.concatenate([split.train.labels for split in splits.values()]),
    )
    teacher = fit_teacher(records, config.task, config.teacher, config.teacher_training, seed=config.seed)
    student = train_alone(records, config, teacher, seed=config.seed)
    return figures({name: evaluate(student, split.test, len(config.task.labels)).accuracy for name, split in splits.items()}, splits)


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


def _splits(homes: Mapping[str, Path]) -> dict[str, Split]:
    return {name: load_site(load_config(InstitutionConfig, home / "institution.toml")) for name, home in homes.items()}
