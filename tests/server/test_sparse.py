"""More than 64 institutions: a whole run on the sparse graph, over the real grid, with one lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.small import final_vector, make_federation, names_of, records_of, small_update

COUNT = 65


@pytest.mark.timeout(600)
def test_a_run_of_65_ends_in_the_plain_weighted_mean(tmp_path: Path) -> None:
    names = names_of(COUNT)
    federation = make_federation(tmp_path, COUNT, rounds=1)
    result = federation.run(faults=lambda name, number, stage: "before" if (name, number, stage) == ("n010", 3, "train") else None)
    survivors = tuple(sorted(name for name in names if name != "n010"))
    training = next(record for record in result.rounds if record.phase == "train")
    assert training.survivors == survivors
    assert "agree" in training.seconds
    assert all("agree" in record.seconds for record in result.rounds)  # nothing is signed in advance
    cap = int(np.ceil(2 * sum(map(records_of, names)) / COUNT))
    weights = [min(records_of(name), cap) for name in survivors]
    updates = [small_update(name, np.zeros(final_vector(result).size, np.float32), 3) for name in survivors]
    assert np.allclose(final_vector(result), np.average(updates, axis=0, weights=weights), atol=2e-2 * np.abs(updates).max())
