"""ONNX graphs as values: read and write them, with the same bytes for the same computation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import numpy_helper

from shared.errors import ArtifactError

PRODUCER = "fedstill"


def parse(content: bytes) -> onnx.ModelProto:
    """The model that the bytes hold; raises :class:`ArtifactError` where they hold none, or point at other files."""
    try:
        model = onnx.load_model_from_string(content)
        external = any(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data for tensor in _tensors(model))
        if not external:
            onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise many kinds
        raise ArtifactError("the ONNX file cannot be read: it is damaged or not ONNX; make it again") from error
    if external:
        # A graph that came from elsewhere must not make its reader open files.
        raise ArtifactError("the ONNX file points at other files for its weights; an artifact's weights are inside")
    return model


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    # Wherever ONNX has a place for one, functions and training included: onnxruntime follows each that it meets.
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in value if isinstance(value, Sequence) else (value,):
                yield from _tensors(part)


def serialise(model: onnx.ModelProto) -> bytes:
    """The checked model's bytes, stripped of all that is not the computation (paths, versions, notes of tools)."""
    strip(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise ArtifactError(f"the ONNX graph that was made is not valid: {str(error).splitlines()[0]}") from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def strip(model: onnx.ModelProto) -> None:
    """Removes names of tools, documentation, source paths and inferred shapes, in place."""
    model.producer_name, model.producer_version, model.domain, model.doc_string = PRODUCER, "", "", ""
    model.model_version = 0
    model.graph.name, model.graph.doc_string = PRODUCER, ""
    holders: tuple[Any, ...] = (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output)
    for holder in holders:
        del holder.metadata_props[:]
        holder.doc_string = ""
    del model.graph.value_info[:]
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used or entry.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda entry: entry.domain))


def rename_canonically(model: onnx.ModelProto) -> None:
    """Names nodes and tensors by operator and position (``Conv_3``), in place; parameters and graph ends keep theirs.

    Raises :class:`ArtifactError` for graphs with branches or loops, which no student has.
    """
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        raise ArtifactError("the student's graph has branches or loops, which cannot be compressed; remove them from its forward")
    graph = model.graph
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    for tensor in graph.initializer:
        if tensor.name not in names:
            names[tensor.name] = tensor.name if tensor.name.startswith("parameter.") else f"constant_{len(names)}"
        tensor.name = names[tensor.name]
    for position, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{position}"
        for index, output in enumerate(node.output):
            if output:
                names.setdefault(output, node.name if len(node.output) == 1 else f"{node.name}.{index}")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def rename_shortly(model: onnx.ModelProto) -> None:
    """Gives all inner tensors the shortest names and nodes none, in place: in a small INT8 file names outweigh weights."""
    graph = model.graph
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    for name in (*(tensor.name for tensor in graph.initializer), *(name for node in graph.node for name in node.output)):
        if name:
            names.setdefault(name, np.base_repr(len(names), 36))
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def initialisers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The constant tensors of the graph by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def drop_unused(model: onnx.ModelProto) -> None:
    """Removes constant tensors that no node reads, in place."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
