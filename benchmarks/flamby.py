"""FLamby's Fed-Heart-Disease: its 13 features, its split and its scaling, rebuilt from the raw UCI files.

Ogier du Terrail et al. 2022, "FLamby", and the rules of its public data loader, written anew: of the 14 processed
columns ``slope``, ``ca`` and ``thal`` are dropped, then every row with a missing value; chest pain (4 kinds) and
resting ECG (3 kinds) become indicators without their first kind, behind the other columns; each centre's rows, in the
order of the file, are split by scikit-learn with seed 43, stratified unless a label has two rows or fewer. The sizes
(199/104, 172/89, 30/16, 85/45) come out equal to the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from shared.errors import DataError
from shared.files import read_bytes

CENTRES = ("cleveland", "hungarian", "switzerland", "va")
FEATURES = ("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak", "cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2")
ROUNDS = 15
UPDATES = 100
"""Local updates of a round, each on :data:`BATCH` records."""
BATCH = 4
POOLED_EPOCHS = 50
TRAIN_FRACTION = 0.66
SPLIT_SEED = 43

_COLUMNS = 14
_DROPPED = (10, 11, 12)
_CATEGORICAL = {2: (2.0, 3.0, 4.0), 6: (1.0, 2.0)}
"""Column -> the kinds that get an indicator: chest pain 1 and resting ECG 0 are the dropped first ones."""
_LABEL = 13
_FEWEST_TO_STRATIFY = 3

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """Records of one split: ``inputs`` float32 ``(records, 13)`` and ``labels`` int64 ``(records,)``, 1 = disease."""

    inputs: Table
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Centre:
    """One hospital's records, split."""

    train: Part
    test: Part


def read_centres(folder: Path) -> dict[str, Centre]:
    """The four centres from ``processed.NAME.data``, unscaled, by FLamby's split."""
    return {name: split(read_centre(folder / f"processed.{name}.data"), SPLIT_SEED) for name in CENTRES}


def read_centre(path: Path) -> Part:
    """All usable rows of one file in its order. Raises :class:`DataError` for a row that is not 14 columns of numbers."""
    rows = []
    for number, line in enumerate(read_bytes(path, what="heart records").decode().splitlines(), start=1):
        cells = [cell.strip() for cell in line.split(",")][:_COLUMNS]
        if not line.strip() or cells[0] == "age":  # one public copy has a head row
            continue
        if len(cells) != _COLUMNS:
            raise DataError(f"{path.name} line {number} has {len(cells)} columns, not {_COLUMNS}; take the 'processed' file of UCI")
        if "?" not in [cell for column, cell in enumerate(cells) if column not in _DROPPED]:
            rows.append([0.0 if cell == "?" else float(cell) for cell in cells])
    table = np.asarray(rows, np.float64)
    return Part(_features(table), (table[:, _LABEL] != 0).astype(np.int64))


def split(part: Part, seed: int) -> Centre:
    """FLamby's split of one centre: two thirds to train on, stratified where every label has at least three rows."""
    counts = np.bincount(part.labels)
    stratify = part.labels if len(counts) > 1 and counts[counts > 0].min() >= _FEWEST_TO_STRATIFY else None
    _, test = train_test_split(
        np.arange(len(part.labels)), test_size=1.0 - TRAIN_FRACTION, train_size=TRAIN_FRACTION, random_state=seed, stratify=stratify
    )
    held = np.isin(np.arange(len(part.labels)), test)
    return Centre(Part(part.inputs[~held], part.labels[~held]), Part(part.inputs[held], part.labels[held]))


def validation(centres: Mapping[str, Centre], seed: int) -> dict[str, Centre]:
    """The same centres with their test records put away: a third of each training set is held out in their place."""
    return {name: split(centre.train, seed) for name, centre in centres.items()}


def scaled(centres: Mapping[str, Centre]) -> dict[str, Centre]:
    """FLamby's scaling: every centre by the mean and deviation of its own training records."""
    return {name: Centre(*(_scale(part, centre.train) for part in (centre.train, centre.test))) for name, centre in centres.items()}


def scaled_together(centres: Mapping[str, Centre]) -> dict[str, Centre]:
    """All centres by the mean and deviation of all training records, as FLamby scales its pooled set."""
    everyone = together([centre.train for centre in centres.values()])
    return {name: Centre(_scale(centre.train, everyone), _scale(centre.test, everyone)) for name, centre in centres.items()}


def together(parts: Sequence[Part]) -> Part:
    """The records of several parts as one."""
    return Part(np.concatenate([part.inputs for part in parts]), np.concatenate([part.labels for part in parts]))


def _features(table: NDArray[np.float64]) -> Table:
    plain = [table[:, column] for column in range(_LABEL) if column not in _DROPPED and column not in _CATEGORICAL]
    indicators = [table[:, column] == kind for column, kinds in _CATEGORICAL.items() for kind in kinds]
    return np.stack([*plain, *indicators], axis=1).astype(np.float32)


def _scale(part: Part, by: Part) -> Part:
    # The deviation is the sample's (n - 1), and a constant column is left at zero by the tiny term, as in FLamby.
    means, deviations = by.inputs.mean(axis=0), by.inputs.std(axis=0, ddof=1)
    return Part(((part.inputs - means) / (deviations + 1e-9)).astype(np.float32), part.labels)
