from __future__ import annotations

import pytest

from shared.compress import graph
from shared.compress.export import example_inputs, export_float
from shared.compress.operators import count_operators
from shared.compress.quantise import quantise
from shared.compress.silent import silently_quantised
from shared.settings import NetworkSettings
from shared.task import ImageTask
from tests.shared.compress.test_quantise import executed, ranges
from tests.support.networks import network

TASK = ImageTask(family="image", labels=("a", "b", "c"), size=8, channels=1)


@pytest.fixture(scope="module", params=["convolutional", "mobile"])
def net(request):
    content = export_float(network(TASK, NetworkSettings(width=8, depth=2, architecture=request.param)), TASK)
    return content, ranges(content, example_inputs(TASK, 32))


def test_what_it_finds_is_what_the_runtime_does(net):
    content, found = net
    convolutions = [node.name for node in graph.parse(content).graph.node if node.op_type == "Conv"]
    silent = 0
    for name in convolutions:
        made = quantise(content, found, "u8s8-7bit", in_float=[name])
        more = executed(made)["QLinearConv"] - count_operators(made).int8.get("Conv", 0)
        assert more == len(silently_quantised(made))
        silent += more
    assert silent > 0


def test_a_whole_file_has_none(net):
    content, found = net
    assert silently_quantised(quantise(content, found, "u8s8-7bit")) == ()


def test_a_float_file_has_none(table_onnx):
    assert silently_quantised(table_onnx) == ()
