"""Small graphs of each family, in float and INT8, that the tests of costs share."""

from __future__ import annotations

import pytest

from shared.compress import graph
from shared.compress.export import example_inputs, export_float
from shared.compress.quantise import quantise
from shared.compress.scope import scope
from shared.settings import NetworkSettings
from shared.task import ImageTask, TextTask
from tests.support.networks import TABLE, network

IMAGE = ImageTask(family="image", labels=("a", "b", "c"), size=16, channels=3)
TEXT = TextTask(family="text", labels=("a", "b", "c"), tokenizer_sha256="0" * 64, vocabulary=50, max_tokens=24)
FAMILIES = {
    "tabular": (TABLE, NetworkSettings(width=16, depth=1)),
    "perceptron": (TABLE, NetworkSettings(width=16, depth=1, architecture="perceptron")),
    "convolutional": (IMAGE, NetworkSettings(width=16, depth=1)),
    "mobile": (IMAGE, NetworkSettings(width=16, depth=3, architecture="mobile")),
    "vision": (IMAGE, NetworkSettings(width=16, depth=1, architecture="transformer")),
    "text": (TEXT, NetworkSettings(width=16, depth=1)),
}


def exported(task, settings):
    return export_float(network(task, settings), task, example_inputs(task, 3))


def in_int8(content, grid="u8s8-7bit"):
    return quantise(content, dict.fromkeys(scope(graph.parse(content)).tensors, (-2.0, 2.0)), grid)


@pytest.fixture(scope="session")
def graphs():
    """``{family: (float file, INT8 file)}``."""
    floats = {name: exported(*how) for name, how in FAMILIES.items()}
    return {name: (content, in_int8(content)) for name, content in floats.items()}
