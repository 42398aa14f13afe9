from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from fedstill.cli import main
from shared.compress.devices import DEVICES, read_profile
from shared.compress.measure import profile as measuring


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["device", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    node = helper.make_node("MatMul", ["inputs", "w"], ["logits"], "product")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("inputs", 8), ("logits", 16))]
    made = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(np.ones((8, 16), np.float32), "w")])
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString())
    return path


def test_all_known_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--json")
    assert code == 0
    assert [entry["name"] for entry in json.loads(out)["devices"]] == list(DEVICES)
    assert "cortex-a53" in run(capsys, "list")[1]


def test_a_profile_is_shown_with_the_source_of_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", "cortex-a72")
    assert code == 0
    assert "board: estimated. Raspberry Pi 4" in out
    assert json.loads(run(capsys, "show", "cortex-a72", "--json")[1])["clock"] == {"value": 1.5e9, "source": "board"}


def test_the_devices_that_a_profile_stands_for_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "slower than float on none of x86-avx2, x86-avx512-vnni" in " ".join(run(capsys, "show", "portable")[1].split())
    assert "on none of" not in run(capsys, "show", "cortex-a72")[1]


def test_an_unknown_device_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "show", "jetson-orin")
    assert code == 10
    assert "did you mean 'jetson-orin-cpu'?" in err


def test_what_a_graph_costs_is_predicted(capsys: pytest.CaptureFixture[str], graph: Path) -> None:
    code, out, _ = run(capsys, "predict", str(graph), "--device", "cortex-a53", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["device"] == "cortex-a53"
    assert found["shares"] == {"int8": 0.0, "float": 1.0, "conversions": 0.0}
    assert [entry["macs"] for entry in found["operators"]] == [128]
    assert found["seconds"] > sum(entry["seconds"] for entry in found["operators"]) > 0
    assert "ms on cortex-a53" in run(capsys, "predict", str(graph), "--device", "cortex-a53")[1]


def test_a_graph_that_is_none_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert run(capsys, "predict", str(path), "--device", "portable")[0] == 21
    path.write_bytes(b"none")
    code, _, err = run(capsys, "predict", str(path), "--device", "portable")
    assert (code, err.count("error:")) == (70, 1)


def test_a_measured_profile_can_be_used_at_once(
    capsys: pytest.CaptureFixture[str], graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "measure", lambda found, **_: [1e-9 * case.rows * case.work for case in found])
    monkeypatch.setattr(measuring, "read_bandwidth", lambda size: 1e9)
    path = tmp_path / "gateway.toml"
    code, out, _ = run(capsys, "measure", "--out", str(path), "--quick", "--json")
    assert (code, json.loads(out)["name"]) == (0, "gateway")
    assert read_profile(path).name == "gateway"
    found = json.loads(run(capsys, "predict", str(graph), "--device", str(path), "--json")[1])
    assert found["measured_share"] == 1


@pytest.mark.parametrize("arguments", [("--out", "board.json"), ("--out", "My Board.toml"), ("--out", "a.toml", "--name", "A b")])
def test_a_profile_that_could_not_be_used_is_not_measured(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert run(capsys, "measure", *arguments)[0] == 10
