"""Prediction in batches is prediction at once, and leaves a model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.models import count_parameters, predict
from shared.models.network import BATCH, predict_logits
from shared.task import Task
from tests.support.networks import IMAGES, TABLE, inputs, network


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_batches_are_the_whole(task: Task) -> None:
    model, values = network(task), inputs(task, BATCH + 7)
    with torch.no_grad():
        whole = model(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(predict_logits(model, values), whole, atol=1e-5)
    assert (predict(model, values) == whole.argmax(axis=1)).mean() > 0.99


def test_no_records_give_no_predictions() -> None:
    assert predict(network(), inputs(TABLE, 0)).shape == (0,)


def test_prediction_keeps_the_mode() -> None:
    model = network()
    model.train()
    predict(model, inputs(TABLE, 3))
    assert model.training


def test_parameters_are_counted_once_and_only_trainable_ones() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad = False
    assert count_parameters(torch.nn.Sequential(layer, layer)) == 6
