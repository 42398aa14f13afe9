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


def elsewhere():
    tensor = onnx.TensorProto(name="c", data_type=onnx.TensorProto.UINT8, dims=[8], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def in_a_function(model):
    nodes = [helper.make_node("Constant", [], ["v"], value=elsewhere()), helper.make_node("Cast", ["v"], ["y"], to=onnx.TensorProto.FLOAT)]
    model.functions.append(helper.make_function("own", "Read", [], ["y"], nodes, [helper.make_opsetid("", 17)]))


def in_a_function_s_default(model):
    in_a_function(model)
    model.functions[0].node[0].CopyFrom(helper.make_node("Identity", [], ["v"]))
    model.functions[0].attribute_proto.append(helper.make_attribute("v", elsewhere()))


def in_a_branch(model):
    branch = onnx.GraphProto(name="branch", node=[helper.make_node("Constant", [], ["v"], value=elsewhere())])
    model.graph.node.append(helper.make_node("If", ["c"], ["x"], then_branch=branch, else_branch=branch))


def in_a_sparse_attribute(model):
    node = helper.make_node("Constant", [], ["v"])
    node.attribute.append(helper.make_attribute("sparse_value", onnx.SparseTensorProto(values=elsewhere(), dims=[8])))
    model.graph.node.append(node)


def in_a_sparse_initialiser(model):
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=elsewhere(), dims=[8]))


def in_the_training(model):
    model.training_info.add().algorithm.initializer.append(elsewhere())


PLACES = [in_a_function, in_a_function_s_default, in_a_branch, in_a_sparse_attribute, in_a_sparse_initialiser, in_the_training]


@pytest.mark.parametrize("hide", PLACES)
def test_weights_in_other_files_are_refused_wherever_they_hide(dense_onnx, hide):
    model = onnx.load_model_from_string(dense_onnx)
    hide(model)
    with pytest.raises(ArtifactError, match="points at other files"):
        graph.parse(model.SerializeToString())


def test_onnxruntime_would_read_a_file_that_a_function_names(tmp_path, monkeypatch):
    # Why it matters: the gate's files come from the coordinator, and this one counts bytes of the institution's disk.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(range(100, 108)))
    value = helper.make_tensor_value_info("inputs", onnx.TensorProto.FLOAT, [8])
    nodes = [helper.make_node("Read", [], ["read"], domain="own"), helper.make_node("Add", ["inputs", "read"], ["logits"])]
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [8])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", [value], [logits]), opset_imports=opsets, ir_version=8)
    in_a_function(model)
    content = model.SerializeToString()
    assert runtime.session(content).run(None, {"inputs": np.zeros(8, np.float32)})[0].tolist() == list(range(100, 108))
    with pytest.raises(ArtifactError, match="points at other files"):
        graph.parse(content)
