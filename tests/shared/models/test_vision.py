"""The transformer over patches: shapes, the order of pixels, and what does not tile."""

from __future__ import annotations

import pytest
import torch

from shared.errors import ConfigError
from shared.models import Network
from shared.settings import NetworkSettings
from tests.support.networks import IMAGES, inputs, network

SETTINGS = NetworkSettings(width=16, depth=2, heads=4, architecture="transformer", patch=2)


def model_of(**changed: object) -> Network:
    return network(IMAGES, SETTINGS.model_copy(update=changed))


def test_features_have_the_shapes_that_the_seam_promises() -> None:
    found = model_of().features(torch.from_numpy(inputs(IMAGES, 5)))
    assert found.logits.shape == (5, 3)
    assert [tuple(state.shape) for state in found.hidden_states] == [(5, 17, 16)] * 3
    assert [tuple(one.shape) for one in found.attentions] == [(5, 4, 17, 17)] * 2
    for attention in found.attentions:
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(5, 4, 17))


def test_a_pixel_changes_the_token_of_its_patch_alone() -> None:
    one = torch.from_numpy(inputs(IMAGES, 1))
    other = one.clone()
    other[0, 5, 2] ^= 128  # row 5, column 2: the second column and the third row of patches
    states = [model_of().features(image).hidden_states[0][0] for image in (one, other)]
    changed = (states[0] != states[1]).any(dim=1).nonzero().flatten().tolist()
    assert changed == [1 + 2 * 4 + 1]


def test_the_default_is_eight_patches_a_side() -> None:
    assert model_of(patch=None).get_parameter("positions").shape == (1, 65, 16)


def test_patches_that_do_not_tile_are_refused() -> None:
    with pytest.raises(ConfigError, match="patch 3 does not divide"):
        model_of(patch=3)
