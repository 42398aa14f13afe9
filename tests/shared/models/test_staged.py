"""What both convolutional families show, and that a stage more shows a state more."""

from __future__ import annotations

import pytest
import torch

from shared.models import build
from shared.models.staged import StagedNet
from shared.settings import NetworkSettings
from tests.support.networks import IMAGES, inputs, normalisation


@pytest.mark.parametrize("settings", [NetworkSettings(width=8, depth=3), NetworkSettings(width=8, depth=3, architecture="mobile")])
def test_every_stage_is_shown_and_the_answer_is_the_last_one_s(settings: NetworkSettings) -> None:
    model, batch = build(settings, IMAGES, normalisation(IMAGES), seed=1), torch.from_numpy(inputs(IMAGES, 4))
    assert isinstance(model, StagedNet)
    found = model.features(batch)
    assert len(found.hidden_states) == len(model.stages) + 1
    assert torch.equal(model(batch), found.logits)
    for maps in found.attentions:
        torch.testing.assert_close(maps.square().sum(dim=1), torch.ones(4))


def test_families_rectify_their_own_way() -> None:
    large = torch.tensor([-1.0, 3.0, 9.0])
    rectified = [
        build(NetworkSettings(width=8, depth=1, architecture=kind), IMAGES, normalisation(IMAGES), seed=1).rectify(large).tolist()  # type: ignore[operator,arg-type]
        for kind in ("convolutional", "mobile")
    ]
    assert rectified == [[0.0, 3.0, 9.0], [0.0, 3.0, 6.0]]
