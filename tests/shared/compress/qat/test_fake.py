from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from shared.compress import runtime
from shared.compress.qat import fake
from shared.compress.quantise import ROW_LIMIT
from shared.compress.weights import channel_scales


def through_the_runtime(values: np.ndarray, grid: fake.Grid) -> np.ndarray:
    nodes = [
        helper.make_node("QuantizeLinear", ["inputs", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["logits"]),
    ]
    constants = [numpy_helper.from_array(np.float32(grid.scale), "s"), numpy_helper.from_array(np.uint8(grid.zero), "z")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("inputs", "logits")]
    made = helper.make_graph(nodes, "grid", ends[:1], ends[1:], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return runtime.session(model.SerializeToString(), exact=True).run(["logits"], {"inputs": values.reshape(-1, 1)})[0].reshape(-1)


@given(low=st.floats(-1e3, 0), high=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_values_lie_where_the_runtime_puts_them(low: float, high: float, seed: int) -> None:
    grid = fake.Grid.over(low, high)
    values = np.random.default_rng(seed).uniform(1.2 * low - 1, 1.2 * high + 1, 50).astype(np.float32)
    # Half-way between two steps, too.
    values[:10] = (np.arange(10, dtype=np.float32) + 0.5) * np.float32(grid.scale)
    assert np.array_equal(fake.activations(torch.from_numpy(values), grid).numpy(), through_the_runtime(values, grid))


def test_gradients_go_straight_inside_and_nowhere_outside() -> None:
    values = torch.tensor([[-3.0, -0.6, 0.2, 0.9, 5.0]], requires_grad=True)
    ends = torch.tensor([-1.0, 1.0], requires_grad=True)
    grid = fake.Grid.over(-1.0, 1.0, ends)
    weights = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    (fake.activations(values, grid) * weights).sum().backward()
    assert values.grad.tolist() == [[0.0, 2.0, 3.0, 4.0, 0.0]]
    inside = values.detach()[0, 1:4]
    rounding = float(((torch.round(inside / grid.scale) * grid.scale - inside) * weights[0, 1:4]).sum()) / (grid.scale * 255)
    expected = [(1.0 - rounding) / math.sqrt(255 * 5), (5.0 + rounding) / math.sqrt(255 * 5)]
    assert ends.grad.tolist() == pytest.approx(expected)


def test_an_end_follows_its_gradient_to_a_smaller_error() -> None:
    values = torch.cat([torch.linspace(-1, 1, 400), torch.tensor([3.0])]).reshape(1, -1)
    high = torch.tensor(0.2, requires_grad=True)

    def error() -> torch.Tensor:
        ends = torch.stack([torch.tensor(-1.0), high])
        return (fake.activations(values, fake.Grid.over(-1.0, high.item(), ends)) - values).square().sum()

    before = error().item()
    for _ in range(100):
        error().backward()
        with torch.no_grad():
            high -= 0.1 * high.grad
        high.grad = None
    assert error().item() < before / 5
    assert 0.9 < high.item() < 1.6


def test_without_a_range_to_learn_there_is_no_gradient_for_it() -> None:
    values = torch.ones(1, 3, requires_grad=True)
    fake.activations(values, fake.Grid.over(0.0, 2.0)).sum().backward()
    assert values.grad.tolist() == [[1.0, 1.0, 1.0]]


@given(seed=st.integers(0, 200), limit=st.sampled_from([63, 127]), axis=st.sampled_from([0, 1, -1]))
def test_steps_are_those_of_the_file(seed: int, limit: int, axis: int) -> None:
    weights = np.random.default_rng(seed).standard_t(4, (6, 40)).astype(np.float32)
    own = fake.step_sizes(torch.from_numpy(weights), axis, limit).numpy()
    expected = channel_scales(weights, axis % 2, limit)

    def errors(scales: np.ndarray) -> np.ndarray:
        rows = np.moveaxis(weights.astype(np.float64), axis, 0)
        steps = scales.astype(np.float64)[:, None]
        return ((np.clip(np.rint(rows / steps), -limit, limit) * steps - rows) ** 2).sum(axis=1)

    assert own.shape == expected.shape
    assert (errors(own) <= errors(expected) * 1.1).all()
    assert errors(own).sum() <= errors(expected).sum() * 1.02


def test_weights_keep_to_their_grid_and_pass_every_gradient_on() -> None:
    values = torch.tensor([[1.0, -0.26, 0.1], [9.0, 4.0, 0.0]], requires_grad=True)
    scales = torch.tensor([0.25, 2.0])
    found = fake.weights(values, scales, 0, 3)
    assert found.tolist() == [[0.75, -0.25, 0.0], [6.0, 4.0, 0.0]]
    found.sum().backward()
    assert bool((values.grad == 1).all())


def test_a_bias_is_a_multiple_of_both_steps() -> None:
    values = torch.tensor([1.03, -0.49], requires_grad=True)
    found = fake.bias(values, torch.tensor([0.5, 1.0]), 0.1)
    assert found.tolist() == pytest.approx([1.05, -0.5])
    found.sum().backward()
    assert bool((values.grad == 1).all())


def test_rows_have_a_step_each() -> None:
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)).requires_grad_()
    found = fake.rows(values)
    largest = np.abs(values.detach().numpy()).max(axis=-1, keepdims=True)
    assert np.abs(found.detach().numpy() - values.detach().numpy()).max() <= float((largest / ROW_LIMIT / 2).max()) * 1.001
    assert np.array_equal(np.abs(found.detach().numpy()).max(axis=-1, keepdims=True), largest)
    found.sum().backward()
    assert bool((values.grad == 1).all())
