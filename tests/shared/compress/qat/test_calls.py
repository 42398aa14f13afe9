from __future__ import annotations

import torch
from torch.nn import functional

from shared.compress.qat.calls import PRODUCTS, Call, Changed, Recorder, in_place, kind_of


def test_kinds_are_names_without_underscores() -> None:
    assert kind_of(torch.Tensor.__matmul__) == kind_of(torch.Tensor.matmul) == kind_of(torch.matmul) == "matmul"
    assert kind_of(torch.Tensor.__radd__) == kind_of(torch.Tensor.add_) == kind_of(torch.Tensor.__iadd__) == "add"
    assert kind_of(functional.linear) == "linear"
    assert kind_of(object()) == ""


def test_named_arguments_are_put_in_place() -> None:
    places = PRODUCTS["linear"]
    assert in_place(places, (1,), {"weight": 2, "bias": 3}) == [1, 2, 3]
    assert in_place(places, (1, 2), {}) == [1, 2]
    assert in_place(PRODUCTS["conv2d"], (), {"input": 1, "weight": 2, "stride": 5}) == [1, 2]


def test_calls_are_counted_by_kind() -> None:
    layer, values = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with torch.no_grad(), Recorder() as recorder:
        layer(functional.relu(layer(values)) + values)
    assert [one.call for one in recorder.seen] == [Call("linear", 0), Call("relu", 0), Call("add", 0), Call("linear", 1)]
    assert recorder.seen[3].arguments[0] is recorder.seen[2].result


def test_only_the_kinds_that_are_asked_for_are_changed() -> None:
    met = []

    def change(call, function, arguments, named):
        met.append(call)
        return function(*arguments, **named) * 10

    with Changed(frozenset({"relu"}), change):
        found = functional.relu(torch.ones(2)) + functional.relu(torch.ones(2))
    assert found.tolist() == [20.0, 20.0]
    assert met == [Call("relu", 0), Call("relu", 1)]
    assert functional.relu(torch.ones(1)).tolist() == [1.0]
