from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from shared.compress import graph, runtime
from shared.errors import ArtifactError


def test_parse_refuses_what_is_not_onnx():
    for content in (b"", b"not onnx", b"\x00" * 100):
        with pytest.raises(ArtifactError, match="damaged or not ONNX"):
            graph.parse(content)


def test_serialise_strips_notes_and_is_stable(dense_onnx):
    model = graph.parse(dense_onnx)
    plain = graph.serialise(graph.parse(dense_onnx))
    model.producer_version, model.doc_string = "9.9", "made at home"
    model.graph.node[0].doc_string = "File /home/me/net.py"
    entry = model.graph.node[1].metadata_props.add()
    entry.key, entry.value = "stack", "File /home/me/net.py"
    assert graph.serialise(model) == plain


def test_serialise_refuses_an_invalid_graph(dense_onnx):
    model = graph.parse(dense_onnx)
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ArtifactError, match="not valid"):
        graph.serialise(model)


@pytest.mark.parametrize("rename", [graph.rename_canonically, graph.rename_shortly])
def test_renaming_changes_no_answer(dense_onnx, rename):
    model = graph.parse(dense_onnx)
    rename(model)
    inputs = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    before = runtime.logits(runtime.session(dense_onnx), inputs)
    assert (runtime.logits(runtime.session(graph.serialise(model)), inputs) == before).all()


def test_canonical_names_say_operator_and_position(dense_onnx):
    model = graph.parse(dense_onnx)
    graph.rename_canonically(model)
    assert [node.name for node in model.graph.node] == ["MatMul_0", "Relu_1", "Gemm_2"]
    assert [node.output[0] for node in model.graph.node] == ["MatMul_0", "Relu_1", "logits"]


def test_branches_are_refused(dense_onnx):
    model = graph.parse(dense_onnx)
    model.graph.node.append(helper.make_node("If", ["c"], ["x"], then_branch=model.graph, else_branch=onnx.GraphProto()))
    with pytest.raises(ArtifactError, match="branches or loops"):
        graph.rename_canonically(model)


def test_unused_constants_are_dropped(dense_onnx):
    model = graph.parse(dense_onnx)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "spare"))
    graph.drop_unused(model)
    assert set(graph.initialisers(model)) == {"w", "v", "b"}


def test_weights_in_other_files_are_refused(dense_onnx):
    model = onnx.load_model_from_string(dense_onnx)
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    tensor.ClearField("raw_data")
    with pytest.raises(ArtifactError, match="points at other files"):
        graph.parse(model.SerializeToString())
