"""The rate rises and falls, the head learns fastest, and equal seeds give equal bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shared.distill.resume import Resume
from shared.errors import NotFiniteError
from shared.settings import TrainingSettings
from shared.teachers.tuning import fine_tune, fresh, rate_at


class Killed(BaseException):
    """A process that ends."""


TRAINING = TrainingSettings(epochs=3, batch_size=4, learning_rate=1e-3)


@given(st.integers(1, 500))
def test_the_rate_is_a_share_that_rises_then_falls(total: int) -> None:
    rates = [rate_at(done, total) for done in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert peak <= max(1, total // 5)


def tuned(
    seed: int = 1, factor: float = 1.0, *, resume: Resume | None = None, stop: int = -1
) -> tuple[nn.Sequential, list[tuple[int, int]]]:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    for part in (model[0], model[2]):
        fresh(part, seed=7)
    inputs, labels, steps = torch.randn(10, 3, generator=torch.Generator().manual_seed(1)), torch.arange(10) % 2, []

    def loss(rows: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(inputs[rows]), labels[rows]) * factor

    def on_step(done: int, total: int) -> None:
        steps.append((done, total))
        if done == stop:
            raise Killed

    fine_tune(model, model[2], loss, 10, TRAINING, seed=seed, on_step=on_step, resume=resume)
    return model, steps


def test_equal_seeds_give_equal_bits_whatever_the_global_generator() -> None:
    torch.manual_seed(1)
    one, steps = tuned()
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), tuned()[0].parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), tuned(seed=2)[0].parameters(), strict=True))
    assert steps == [(done, 9) for done in range(1, 10)]
    assert not one.training


def test_a_loss_that_leaves_the_numbers_stops_the_fit() -> None:
    with pytest.raises(NotFiniteError, match="lower the learning rate"):
        tuned(factor=float("nan"))


@pytest.mark.parametrize("stop", range(1, 10))
def test_killed_at_any_step_it_goes_on_bit_for_bit(tmp_path: Path, stop: int) -> None:
    whole, _ = tuned()
    with pytest.raises(Killed):
        tuned(resume=Resume(tmp_path / "fit.safetensors", "key", interval_s=0), stop=stop)
    found, steps = tuned(resume=Resume(tmp_path / "fit.safetensors", "key", interval_s=0))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), found.parameters(), strict=True))
    # The state of the last step before the kill is kept, but where an epoch ends: it is drawn anew.
    assert len(steps) < 9 or stop == 1
    assert steps[-1] == (9, 9)


@pytest.mark.parametrize("other", ["another key", "another model", "damage"])
def test_what_was_kept_of_something_else_is_not_gone_on_with(tmp_path: Path, other: str) -> None:
    path = tmp_path / "fit.safetensors"
    with pytest.raises(Killed):
        tuned(resume=Resume(path, "key", interval_s=0), stop=2)
    if other == "another model":
        Resume(path, "key").save({"parameter.0.weight": torch.zeros(1)})
    if other == "damage":
        path.write_bytes(path.read_bytes()[:-9])
    found, steps = tuned(resume=Resume(path, other if other == "another key" else "key"))
    assert len(steps) == 9
    assert all(torch.equal(a, b) for a, b in zip(tuned()[0].parameters(), found.parameters(), strict=True))
