"""One falling rate over a run, or one a round."""

from __future__ import annotations

from itertools import pairwise

from server.annealing import span
from shared.config import FederationConfig
from tests.support.small import federation_table


def test_rounds_share_one_falling_rate_unless_each_has_its_own() -> None:
    config = FederationConfig.model_validate(federation_table(4))
    parts = [span(version, config) for version in range(4)]
    assert parts[0][0] == 0.0
    assert parts[-1][1] == 1.0
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    each = config.model_copy(update={"training": config.training.model_copy(update={"annealing": "round"})})
    assert {span(version, each) for version in range(4)} == {(0.0, 1.0)}
