from __future__ import annotations

import numpy as np
import pytest

from shared.compress.cost.fused import DEFAULT_TOKENS, fused
from shared.errors import ArtifactError
from tests.shared.compress.cost.conftest import FAMILIES


def names(graph):
    return [node.op_type for node in graph.nodes]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_of_one_record_has_a_shape(graphs, family):
    for content in graphs[family]:
        found = fused(content)
        for node in found.nodes:
            assert all(name in found.values for name in (*node.input, *node.output) if name)
        assert found.values["logits"].shape[0] == 1


def test_what_the_runtime_fuses_is_one_operator(graphs):
    content, quantised = graphs["convolutional"]
    assert "FusedConv" in names(fused(content))
    assert names(fused(quantised)).count("QLinearConv") == names(fused(content)).count("FusedConv") + names(fused(content)).count("Conv")
    assert "MatMulIntegerToFloat" in names(fused(graphs["text"][1]))


def test_a_text_is_as_long_as_its_table_of_positions_or_as_told(graphs):
    content, _ = graphs["text"]
    assert fused(content).values["inputs"].shape == (1, 24)
    assert fused(content, 7).values["inputs"].shape == (1, 7)
    with pytest.raises(ArtifactError, match="0 tokens"):
        fused(content, 0)
    assert DEFAULT_TOKENS > 0


def test_constants_are_told_from_activations(graphs):
    found = fused(graphs["convolutional"][1]).values
    weights = [value for value in found.values() if value.constant and value.dtype == np.int8 and len(value.shape) == 4]
    assert weights
    assert all(value.bytes == value.size for value in weights)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x07"])
def test_what_is_no_graph_is_refused(content):
    with pytest.raises(ArtifactError):
        fused(content)
