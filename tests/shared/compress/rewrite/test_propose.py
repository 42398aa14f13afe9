"""Proposals: each family's own rewrites, each a net that answers."""

from __future__ import annotations

import pytest
import torch

from shared.compress.rewrite.propose import propose_rewrites
from tests.support.networks import inputs, network
from tests.support.shapes import FAMILIES

WIDER = "widths filled up to multiples of 20"
EXPECTED = {
    "table": ["heads merged 4→2", WIDER],
    "perceptron": [WIDER],
    "residual": [
        "depthwise + pointwise, 5 of 5 blocks",
        "depthwise + pointwise, 3 of 5 blocks",
        "1 × k + k × 1, 5 of 5 blocks",
        "1 × k + k × 1, 3 of 5 blocks",
        WIDER,
    ],
    "mobile": [WIDER],
    "patches": ["heads merged 4→2", WIDER],
    "encoder": ["GELU→ReLU", "heads merged 4→2", WIDER],
    "decoder": ["GELU→ReLU", "heads merged 4→2", WIDER],
}


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_each_family_has_its_rewrites_and_only_exact_ones_claim_to_be(name: str) -> None:
    student = network(*FAMILIES[name])
    found = propose_rewrites(student, 20)
    assert [one.name for one in found] == EXPECTED[name]
    rows = torch.from_numpy(inputs(student.task, 6))
    for one in found:
        assert torch.allclose(one.student(rows), student(rows), atol=1e-5) == one.exact
        assert torch.isfinite(one.student(rows)).all()
