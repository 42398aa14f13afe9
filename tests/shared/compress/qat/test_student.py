"""The law of quantisation-aware training: torch computes what the runtime computes of the exported INT8 file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shared.compress import runtime
from shared.compress.devices import saturates_here
from shared.compress.export import export_float
from shared.compress.qat.student import CLOSE, QuantisationAware, prove
from shared.compress.quantise import quantise
from shared.distill.trainer import distil
from shared.errors import ArtifactError
from shared.models import Features, Network, features, to_vector
from shared.models.network import predict_logits
from shared.models.vector import parameters_in_order
from shared.settings import DistillationSettings, TrainingSettings
from tests.support.calibrated import FAMILIES, differing, ranges_of, student_of
from tests.support.networks import inputs, records

ALONE = DistillationSettings(teacher="none", soft_weight=0.0, hidden_weight=0.0, attention_weight=0.0)
GRID = "u8s8-7bit"


def aware_of(family: str, grid: str = GRID, *, learn: bool = True) -> QuantisationAware:
    task, _ = FAMILIES[family]
    model = student_of(family)
    return QuantisationAware(model, ranges_of(export_float(model, task), task, inputs(task, 100)), grid, learn=learn)


def file_of(aware: QuantisationAware) -> bytes:
    return quantise(export_float(aware.student, aware.task), aware.ranges(), aware.grid)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grid", [GRID, "u8u8", "u8s8", "u8s8-7bit-float-attention"])
def test_torch_computes_what_the_runtime_computes(family: str, grid: str) -> None:
    aware, rows = aware_of(family, grid), inputs(FAMILIES[family][0], 200, seed=3)
    found = runtime.logits(runtime.session(file_of(aware), exact=saturates_here(grid)), rows)
    own = predict_logits(aware, rows)
    assert differing(own, found) < CLOSE
    # Of untrained students some answers are a tie, which one step of the grid decides.
    clear = np.ptp(np.sort(found, axis=1)[:, -2:], axis=1) > 0.1 * found.std()
    assert clear.mean() > 0.6
    assert np.array_equal(own.argmax(1)[clear], found.argmax(1)[clear])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_law_holds_after_learning_with_the_grid(family: str) -> None:
    aware, own = aware_of(family), records(FAMILIES[family][0], 100)
    before = aware.ranges()
    distil(aware, None, own, TrainingSettings(epochs=3, batch_size=16, learning_rate=5e-3), ALONE, seed=1)
    assert aware.ranges() != before
    found = runtime.logits(runtime.session(file_of(aware)), own.inputs)
    assert differing(predict_logits(aware, own.inputs), found) == pytest.approx(prove(aware, own.inputs))
    assert (predict_logits(aware, own.inputs).argmax(1) == found.argmax(1)).mean() >= 0.995


@pytest.mark.parametrize("family", ["transformer", "convolutional", "encoder"])
def test_features_lie_on_the_grid_as_the_forward_does(family: str) -> None:
    aware, rows = aware_of(family).eval(), torch.from_numpy(inputs(FAMILIES[family][0], 20))
    with torch.no_grad():
        assert torch.allclose(features(aware, rows).logits, aware(rows), atol=1e-5)
        assert not torch.allclose(features(aware.student, rows).logits, aware(rows), atol=1e-5)


def test_gradients_reach_every_parameter_that_they_reach_without_the_grid() -> None:
    for family in FAMILIES:
        aware, rows = aware_of(family), torch.from_numpy(inputs(FAMILIES[family][0], 20))
        (aware(rows) ** 2).sum().backward()
        lost = [name for name, parameter in aware.student.named_parameters() if parameter.grad is None]
        gradients = [parameter.grad for parameter in aware.parameters()]
        assert not lost
        assert all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)
        assert float(aware.ends.grad.abs().max()) > 0


def test_agreed_ranges_stay_as_they_are() -> None:
    aware = aware_of("perceptron", learn=False)
    before, first = aware.ranges(), to_vector(aware.student)
    distil(aware, None, records(FAMILIES["perceptron"][0], 48), TrainingSettings(epochs=1), ALONE, seed=1)
    assert aware.ranges() == before
    assert not np.array_equal(to_vector(aware.student), first)
    assert [id(one) for one in parameters_in_order(aware)] == [id(one) for one in parameters_in_order(aware.student)]


def test_an_end_at_zero_stays_there() -> None:
    aware = aware_of("convolutional")
    rectified = [name for name, (low, _) in aware.ranges().items() if low == 0.0]
    distil(aware, None, records(FAMILIES["convolutional"][0], 48), TrainingSettings(epochs=2), ALONE, seed=1)
    assert rectified
    assert all(aware.ranges()[name][0] == 0.0 for name in rectified)


def test_a_missing_range_is_named() -> None:
    model = student_of("perceptron")
    with pytest.raises(ArtifactError, match="no range for the tensor"):
        QuantisationAware(model, {}, GRID)


def test_a_forward_that_leaves_out_a_call_is_refused() -> None:
    aware = aware_of("vision")
    del aware.student.blocks[1]
    with pytest.raises(ArtifactError, match="takes another way in training"):
        aware(torch.from_numpy(inputs(FAMILIES["vision"][0], 4)))


class Scaled(Network):
    """A student that multiplies by its matrix through an operation that nobody watches."""

    def __init__(self, base: Network) -> None:
        super().__init__(base.settings, base.task, base.normalisation)
        self.base = base
        self.mix = nn.Parameter(torch.eye(2) + 0.1)

    def features(self, inputs: torch.Tensor) -> Features:
        return Features(self(inputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.tensordot(self.base(inputs), self.mix, 1)


def test_a_product_that_is_no_known_call_is_refused() -> None:
    task, _ = FAMILIES["perceptron"]
    model = Scaled(student_of("perceptron"))
    with pytest.raises(ArtifactError, match="no call of the student's that can be watched"):
        QuantisationAware(model, ranges_of(export_float(model, task), task, inputs(task, 100)), GRID)


def test_a_proof_that_fails_says_so() -> None:
    aware = aware_of("perceptron")
    aware._plans = {name: type(plan)({}, {}, frozenset(), frozenset()) for name, plan in aware._plans.items()}
    aware.get_buffer("bounds").mul_(8)
    with pytest.raises(ArtifactError, match="differ by"):
        prove(aware, inputs(FAMILIES["perceptron"][0], 50))
