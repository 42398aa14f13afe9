"""Every record once an epoch, in even batches, at a falling rate, and never on with numbers that are none."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shared.distill.adamw import FlatAdamW
from shared.distill.loop import LAST_RATE, WINDOW, WINDOWS, Fit, batches, rate_at, window
from shared.distill.resume import Resume
from shared.errors import NotFiniteError
from shared.models.seeds import generator
from shared.settings import TrainingSettings


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 3))
def test_each_epoch_sees_every_record_once_in_even_batches(records: int, batch: int, count: int) -> None:
    parameter, seen = nn.Parameter(torch.zeros(1)), list[Tensor]()

    def loss(rows: Tensor) -> Tensor:
        seen.append(rows)
        return parameter.sum() + 1

    training = TrainingSettings(epochs=count, batch_size=batch, learning_rate=1e-9)
    found = list(Fit([parameter], loss, records, training, generator(1, "b")))
    assert found == pytest.approx([1.0] * count, abs=1e-6)
    assert sorted(torch.cat(seen).tolist()) == sorted(list(range(records)) * count)
    assert all(len(rows) <= batch for rows in seen)
    assert max(map(len, seen)) - min(map(len, seen)) <= 1


def test_the_rate_falls_from_all_to_a_tenth() -> None:
    rates = [rate_at(step / 10) for step in range(11)]
    assert rates[0] == 1.0
    assert rates[-1] == pytest.approx(LAST_RATE)
    assert rates == sorted(rates, reverse=True)


def test_the_rounds_of_a_run_go_down_one_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    monkeypatch.setattr(FlatAdamW, "step", lambda optimizer, rate: rates.append(rate))

    def fitted(epochs: int, start: float, stop: float) -> None:
        parameter = nn.Parameter(torch.ones(1))
        training = TrainingSettings(epochs=epochs, batch_size=4, learning_rate=1.0)
        list(Fit([parameter], lambda rows: parameter.sum(), 10, training, generator(1, "b"), span=(start, stop)))

    fitted(6, 0.0, 1.0)
    whole = rates.copy()
    rates.clear()
    for number in range(3):
        fitted(2, number / 3, (number + 1) / 3)
    assert rates == pytest.approx(whole)


def test_a_fit_that_leaves_the_numbers_stops() -> None:
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(NotFiniteError, match="learning_rate"):
        list(Fit([parameter], lambda rows: parameter.sum() * torch.inf, 4, TrainingSettings(), generator(1, "b")))


class Killed(Exception):
    """A process that ends in the middle of a fit."""


def fit(tmp_path: Path, steps: int, *, die_at: int | None, accumulation: int = 1) -> tuple[list[float], Tensor, int]:
    """The epochs' losses, the final weights, and how many batches were computed."""
    weights, drop = nn.Parameter(torch.ones(6, 2)), generator(2, "drop")
    inputs, done = torch.randn(11, 6, generator=generator(3, "x")), 0

    def loss(rows: Tensor) -> Tensor:
        nonlocal done
        if done == die_at:
            raise Killed
        done += 1
        kept = torch.rand(len(rows), 6, generator=drop) > 0.2
        return ((inputs[rows] * kept) @ weights).square().mean()

    training = TrainingSettings(epochs=steps, batch_size=4, learning_rate=1e-2, accumulation=accumulation)
    resume = Resume(tmp_path / "fit.safetensors", "one", interval_s=0.0)
    losses = []
    with contextlib.suppress(Killed):
        losses.extend(Fit([weights], loss, 11, training, generator(1, "b"), resume=resume, carried={"drop": drop}))
    return losses, weights.detach().clone(), done


@given(st.integers(0, 11))
def test_a_killed_fit_goes_on_bit_for_bit(die_at: int) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        losses, whole, batches = fit(Path(one), 4, die_at=None)
        before, _, done = fit(Path(other), 4, die_at=die_at)
        after, resumed, rest = fit(Path(other), 4, die_at=None)
    assert done == die_at
    assert done + rest == batches
    assert torch.equal(whole, resumed)
    assert [*before, *after] == losses


def test_parts_of_a_batch_give_the_step_of_the_whole(tmp_path: Path) -> None:
    inputs = torch.randn(12, 6, generator=generator(3, "x"))
    found = []
    for accumulation in (1, 3):
        weights = nn.Parameter(torch.ones(6, 2))
        training = TrainingSettings(epochs=2, batch_size=5, accumulation=accumulation)
        found.append(
            (list(Fit([weights], lambda rows, w=weights: (inputs[rows] @ w).square().mean(), 12, training, generator(1, "b"))), weights)
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1])


def test_low_precision_is_used_where_it_is_asked_for() -> None:
    seen = []
    weights = nn.Parameter(torch.ones(6, 2))

    def loss(rows: Tensor) -> Tensor:
        product = torch.ones(len(rows), 6) @ weights
        seen.append(product.dtype)
        return product.float().square().mean()

    for precision in ("auto", "float32", "bfloat16"):
        training = TrainingSettings.model_validate({"epochs": 1, "precision": precision})
        list(Fit([weights], loss, 4, training, generator(1, "b")))
    assert seen == [torch.float32, torch.float32, torch.bfloat16]


@given(st.integers(1, 80), st.integers(1, 9), st.integers(0, 2**31))
def test_batches_by_length_hold_every_record_once_and_waste_less(records: int, batch: int, seed: int) -> None:
    lengths = torch.randint(1, 60, (records,), generator=generator(seed, "lengths"))
    count = -(-records // batch)
    mixed, sorted_ = (batches(records, count, generator(seed, "b"), given) for given in (None, lengths))
    assert sorted(torch.cat(sorted_).tolist()) == list(range(records))
    assert max(map(len, sorted_)) - min(map(len, sorted_)) <= 1

    def computed(parts: list[Tensor]) -> int:
        return sum(len(part) * int(lengths[part].max()) for part in parts)

    if records % count == 0:  # uneven batches may by chance put the longest record into a larger one
        assert computed(sorted_) <= computed(mixed)


@given(st.integers(1, 1000))
def test_a_window_is_a_quarter_of_an_epoch_and_never_more_than_the_bound(count: int) -> None:
    assert 1 <= window(count) <= WINDOW
    assert window(count) * min(WINDOWS, count) <= count
    assert window(count) <= window(count + 1)


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**31))
def test_a_record_leaves_its_window_never(count: int, size: int, seed: int) -> None:
    records = count * size
    lengths = torch.randint(1, 60, (records,), generator=generator(seed, "lengths"))
    place = torch.randperm(records, generator=generator(seed, "b")).argsort()
    wide = window(count) * size
    for batch in batches(records, count, generator(seed, "b"), lengths):
        assert len({int(found) // wide for found in place[batch]}) == 1


def test_records_of_few_batches_meet_others_in_every_epoch() -> None:
    lengths, draws = torch.arange(512), generator(4, "b")
    longest = [next(set(batch.tolist()) for batch in batches(512, 16, draws, lengths) if 511 in batch) for _ in range(20)]
    assert len(set.union(*longest)) > 2 * len(longest[0])
