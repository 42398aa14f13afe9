from __future__ import annotations

import numpy as np
import torch

from shared.compress.qat import steps as module
from shared.compress.qat.calls import Call
from shared.compress.qat.steps import Steps
from shared.compress.weights import channel_scales

CALL = Call("linear", 0)


def test_without_gradient_the_steps_are_the_files_and_kept(monkeypatch) -> None:
    weights, steps, searched = torch.randn(4, 9, generator=torch.Generator().manual_seed(1)), Steps(63), []
    monkeypatch.setattr(module, "channel_scales", lambda *given: searched.append(1) or channel_scales(*given))
    with torch.no_grad():
        found = [steps.of(CALL, weights, 0) for _ in range(3)]
        assert np.array_equal(found[2].numpy(), channel_scales(weights.numpy(), 0, 63))
        assert len(searched) == 1
        weights[0, 0] = 9.0
        assert not torch.equal(steps.of(CALL, weights, 0), found[0])
    assert len(searched) == 2


def test_while_learning_they_follow_every_change() -> None:
    weights, steps = torch.randn(4, 9, generator=torch.Generator().manual_seed(1)), Steps(63)
    first = steps.of(CALL, weights, -1)
    assert first.shape == (9,)
    assert torch.allclose(steps.of(CALL, weights * 2, -1), first * 2)
