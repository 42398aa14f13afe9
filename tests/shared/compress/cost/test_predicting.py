from __future__ import annotations

import subprocess
import sys

import pytest

from shared.compress.cost import predict, share_of_time
from shared.compress.devices import DEVICES, OperatorTable, Source
from shared.errors import ArtifactError
from shared.settings import NetworkSettings
from tests.shared.compress.cost.conftest import FAMILIES, IMAGE, TEXT, exported, in_int8


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("device", ["portable", "x86-avx512-vnni", "cortex-a76"])
def test_the_same_bytes_cost_the_same(graphs, family, device):
    for content in graphs[family]:
        first = predict(content, DEVICES[device])
        assert predict(content, DEVICES[device]) == first
        assert first.seconds == pytest.approx(DEVICES[device].call.value + sum(entry.seconds for entry in first.operators))
        assert all(entry.seconds > 0 for entry in first.operators)


def test_another_process_predicts_the_same(graphs, tmp_path):
    path = tmp_path / "graph.onnx"
    path.write_bytes(graphs["vision"][1])
    code = (
        "import pathlib, sys; from shared.compress.cost import predict; from shared.compress.devices import DEVICES;"
        "print(repr(predict(pathlib.Path(sys.argv[1]).read_bytes(), DEVICES['cortex-a53']).seconds), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert float(found[0]) == predict(graphs["vision"][1], DEVICES["cortex-a53"]).seconds
    assert found[1] == "False"


@pytest.mark.parametrize("device", DEVICES)
def test_deeper_and_wider_never_costs_less(device):
    sizes = [(16, 1), (32, 1), (32, 2)]
    for task in (IMAGE, TEXT):
        files = [exported(task, NetworkSettings(width=width, depth=depth)) for width, depth in sizes]
        for precision in (files, [in_int8(content) for content in files]):
            found = [predict(content, DEVICES[device]) for content in precision]
            assert [entry.seconds for entry in found] == sorted(entry.seconds for entry in found)
            assert [entry.peak_bytes for entry in found] == sorted(entry.peak_bytes for entry in found)


def test_longer_texts_cost_more(graphs):
    content = graphs["text"][0]
    whole = predict(content, DEVICES["portable"])
    assert predict(content, DEVICES["portable"], tokens=24) == whole
    assert predict(content, DEVICES["portable"], tokens=4).seconds < whole.seconds


def test_shares_of_time_add_up(graphs):
    for content, quantised in graphs.values():
        plain, mixed = (share_of_time(c, DEVICES["cortex-a76"]) for c in (content, quantised))
        assert sum(plain.values()) == pytest.approx(1)
        assert sum(mixed.values()) == pytest.approx(1)
        assert plain["int8"] == plain["conversions"] == 0
        assert mixed["int8"] > 0
        assert mixed["conversions"] > 0


def test_int8_takes_less_memory(graphs):
    for content, quantised in graphs.values():
        assert predict(quantised, DEVICES["portable"]).peak_bytes < predict(content, DEVICES["portable"]).peak_bytes


def test_where_a_table_has_the_kind_it_decides(graphs):
    source = Source.model_validate(
        {"kind": "measured", "reason": "by hand for a test", "machine": "m", "runtime": "r", "date": "2026-11-28"}
    )
    table = OperatorTable(kind="gemm", int8=True, source="bench", rows=(1e9,), work=(1e9,), seconds=((0.5,),))
    known = DEVICES["cortex-a76"]
    profile = known.model_copy(update={"operators": (table,), "sources": {**known.sources, "bench": source}})
    found = predict(graphs["text"][1], profile)
    assert {(entry.source, entry.seconds) for entry in found.operators if entry.kind == "gemm" and entry.int8} == {("measured", 0.5)}
    assert all(entry.source == "estimated" for entry in found.operators if entry.kind != "gemm")
    assert 0.9 < found.measured_share < 1
    assert predict(graphs["text"][1], known).measured_share == 0


def test_a_graph_of_several_inputs_is_refused(graphs):
    import onnx

    model = onnx.load_model_from_string(graphs["text"][0])
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    with pytest.raises(ArtifactError, match="takes 2 inputs"):
        predict(model.SerializeToString(), DEVICES["portable"])
