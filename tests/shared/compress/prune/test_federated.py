"""A federation's pruning: the sums of parts decide as the whole does."""

from __future__ import annotations

import numpy as np
import pytest

from shared.compress.prune.anatomy import anatomy
from shared.compress.prune.federated import multiple_for, pruned_by
from shared.compress.prune.importance import importance_counts
from shared.config import CompressionSettings
from shared.models import count_parameters
from shared.models.checkpoint import model_bytes
from shared.settings import NetworkSettings
from tests.support.networks import TABLE, network, records
from tests.support.shapes import FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_sums_of_institutions_make_a_smaller_student_the_same_each_time(name: str) -> None:
    task, settings = FAMILIES[name]
    student = network(task, settings)
    sites = [records(task, 20, seed=seed) for seed in range(3)]
    counts = [importance_counts(student, site, site) for site in sites]
    sums = {key: np.sum([one[key] for one in counts], axis=0) for key in counts[0]}
    smaller = pruned_by(student, sums, CompressionSettings(prune=0.3))
    assert count_parameters(smaller) < count_parameters(student)
    assert smaller.settings.depth >= 0.8 * settings.depth
    assert model_bytes(pruned_by(student, sums, CompressionSettings(prune=0.3))) == model_bytes(smaller)


def test_nothing_is_pruned_where_nothing_is_asked() -> None:
    student, seen = network(*FAMILIES["table"]), records(TABLE, 20)
    counts = importance_counts(student, seen, seen)
    assert pruned_by(student, counts, CompressionSettings(prune=0.0)).settings == student.settings


@pytest.mark.parametrize(("widest", "multiple"), [(8, 2), (16, 4), (32, 8), (63, 8), (64, 16), (512, 16), (3, 1)])
def test_a_narrow_net_goes_down_in_finer_steps(widest: int, multiple: int) -> None:
    student = network(TABLE, NetworkSettings(width=8, depth=1, heads=2, inner=widest))
    assert multiple_for(anatomy(student), 16) == multiple
