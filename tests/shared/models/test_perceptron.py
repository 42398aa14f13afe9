from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from shared.compress import runtime
from shared.compress.calibrate import calibrated_tensors
from shared.compress.candidates import candidates
from shared.compress.export import export_float
from shared.compress.scope import scope
from shared.distill.targets import targets_of
from shared.distill.trainer import distil
from shared.errors import ConfigError
from shared.models import build, count_parameters, to_vector
from shared.models.build import shown_layers
from shared.models.network import Network, predict_logits
from shared.models.perceptron import ColumnSum
from shared.models.tokens import ColumnTokens
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from tests.support.networks import IMAGES, TABLE, inputs, network, normalisation, records

COLUMN_PRODUCTS = 4
"""Numbers, those that miss, categories, those that are not known."""
SHAPE = NetworkSettings(width=12, depth=2, architecture="perceptron")


def perceptron(seed: int = 1, **changed: object) -> Network:
    return build(SHAPE.model_copy(update=changed), TABLE, normalisation(TABLE), seed=seed)


def test_it_shows_one_token_a_layer_and_no_attention() -> None:
    found = perceptron().features(torch.from_numpy(inputs(TABLE, 5)))
    assert found.logits.shape == (5, 2)
    assert [tuple(state.shape) for state in found.hidden_states] == [(5, 1, 12)] * (shown_layers(SHAPE, TABLE) + 1)
    assert found.attentions == ()


def test_columns_count_each_by_itself_without_a_block() -> None:
    # The sum of what each column says: changing one column moves the sum by the same, whatever the others are.
    model, rows = perceptron(), inputs(TABLE, 6)
    changed = rows.copy()
    changed[:, 0] = 3.0
    same = rows[0:1].repeat(6, axis=0)
    same[:, 1:] = rows[:, 1:]
    moved = same.copy()
    moved[:, 0] = 3.0
    sums = [model.features(torch.from_numpy(one)).hidden_states[0] for one in (same, moved)]
    torch.testing.assert_close(sums[1] - sums[0], (sums[1] - sums[0])[:1].expand(6, -1, -1), atol=1e-5, rtol=1e-5)


def test_the_sum_is_that_of_the_column_tokens() -> None:
    tokens, rows = ColumnTokens(TABLE, normalisation(TABLE), 12), inputs(TABLE, 60)
    tokens.initialise(torch.Generator().manual_seed(3))
    rows[0, 1], rows[1, 1], rows[2, 0], rows[3, 3] = 7.0, -2.0, np.inf, np.inf
    summed = ColumnSum(TABLE, normalisation(TABLE), 12)
    first, second = tokens.table[:4], tokens.table[4:]
    values = {
        "scale": tokens.scale,
        "missing": tokens.missing,
        "table": torch.cat([first[:3], second[:2]]),
        "unknown": torch.cat([first[3:], second[2:]]),
        "bias": tokens.bias.sum(dim=0),
    }
    with torch.no_grad():
        for name, value in values.items():
            summed.get_parameter(name).copy_(value)
    torch.testing.assert_close(summed(torch.from_numpy(rows)), tokens(torch.from_numpy(rows)).sum(dim=1), atol=1e-5, rtol=1e-5)


def test_dropout_is_off_outside_training_and_a_seed_makes_one_model() -> None:
    assert to_vector(perceptron(2)).tobytes() == to_vector(perceptron(2)).tobytes()
    assert to_vector(perceptron(2)).tobytes() != to_vector(perceptron(3)).tobytes()
    rows = inputs(TABLE, 4)
    np.testing.assert_array_equal(predict_logits(perceptron(dropout=0.5), rows), predict_logits(perceptron(), rows))


def test_its_graph_computes_the_same_and_its_products_run_in_int8() -> None:
    model, rows = perceptron(), inputs(TABLE, 40)
    content = export_float(model, TABLE)
    np.testing.assert_allclose(runtime.logits(runtime.session(content), rows), predict_logits(model, rows), atol=1e-4)
    assert len(scope(onnx.load_from_string(content)).weighted) == 2 * SHAPE.depth + 1 + COLUMN_PRODUCTS
    ranges = dict.fromkeys(calibrated_tensors(content), (-4.0, 4.0))
    files = candidates(content, ranges, "portable")
    answers = [runtime.logits(runtime.session(file), rows) for file in files.values()]
    assert all(np.abs(one - predict_logits(model, rows)).mean() < 0.2 for one in answers)


@pytest.mark.parametrize("hidden_map", ["uniform", "last", "learned"])
def test_a_transformer_teaches_it_with_the_settings_that_are_the_default(hidden_map: str) -> None:
    teacher, own = network(seed=9), records()
    student = perceptron()
    settings = DistillationSettings.model_validate({"hidden_map": hidden_map})
    before = predict_logits(student, own.inputs)
    distil(student, targets_of(teacher, own.inputs, inside=True), own, TrainingSettings(epochs=6, learning_rate=1e-2), settings, seed=1)
    target = predict_logits(teacher, own.inputs)
    assert np.abs(predict_logits(student, own.inputs) - target).mean() < np.abs(before - target).mean()


def test_width_needs_no_heads_and_images_have_no_perceptron() -> None:
    assert count_parameters(perceptron(width=13)) > 0
    with pytest.raises(ConfigError, match="'perceptron' is not one for a task of family 'image'"):
        build(SHAPE, IMAGES, normalisation(IMAGES), seed=1)
