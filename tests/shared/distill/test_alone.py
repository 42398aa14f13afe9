"""A student alone has the federation's budget, and repeats."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from shared.config import FederationConfig
from shared.distill import alone, evaluate
from shared.distill.alone import train_alone
from shared.models import to_vector
from shared.settings import TrainingSettings
from tests.support.networks import LARGE, SMALL, TABLE, network, records

CONFIG = FederationConfig(
    name="alone", task=TABLE, teacher=LARGE, student=SMALL, rounds=5, training=TrainingSettings(epochs=4, batch_size=16, learning_rate=1e-2)
)


@pytest.mark.parametrize("taught", [True, False])
def test_it_learns_and_repeats(taught: bool) -> None:
    torch.set_num_threads(1)
    examples = records(TABLE, 100)
    teacher = network(TABLE, LARGE, seed=9) if taught else None
    one = train_alone(examples, CONFIG, teacher, seed=3)
    assert (to_vector(one) == to_vector(train_alone(examples, CONFIG, teacher, seed=3))).all()
    if not taught:
        assert evaluate(one, records(TABLE, 60, seed=1), 2).accuracy > 0.85


def test_the_budget_is_the_federations(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TrainingSettings] = []
    real = alone.distil

    def spy(student: Any, targets: Any, examples: Any, training: TrainingSettings, *rest: Any, **named: Any) -> Any:
        asked.append(training)
        return real(student, targets, examples, training, *rest, **named)

    monkeypatch.setattr(alone, "distil", spy)
    train_alone(records(TABLE, 20), CONFIG, None, seed=1)
    assert asked == [CONFIG.training.model_copy(update={"epochs": CONFIG.rounds * CONFIG.training.epochs})]
