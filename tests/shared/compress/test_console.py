from __future__ import annotations

import copy
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from shared.compress import console
from shared.compress.profiling import TimeShares
from shared.compress.verify import open_artifact
from shared.errors import DataError, MissingFileError


@pytest.fixture(scope="module")
def artifact(written):
    return open_artifact(written)


def test_verdict_says_whether_the_signer_was_compared(artifact):
    assert "give --key" in console.verdict_text(console.verdict(artifact, key_given=False))
    assert "the key you gave" in console.verdict_text(console.verdict(artifact, key_given=True))


def test_facts_hold_what_a_reader_asks_for(artifact):
    facts = dict(console.facts(artifact))
    assert facts["operators in INT8"] == "1 Gemm, 4 MatMul"
    assert facts["accuracy"] == "0.7800, float 0.8000, on 100 records"
    assert facts["agreement with float"] == "1.0000"
    assert facts["rounds"] == "12, 1 void; cohorts 4, 4, 3"
    assert facts["epsilon"] == "no differential privacy"


def test_speeds_on_many_devices_are_said_from_the_slowest_to_the_fastest(artifact):
    gate = artifact.manifest["gate"]
    timed = [entry | {"seconds": 1e-3, "ratios": {"a53": 0.8, "a72": 0.5, "avx2": 1.0}} for entry in gate["candidates"]]
    told = copy.copy(artifact)
    told.manifest = artifact.manifest | {"gate": gate | {"candidates": timed, "float_seconds": 2e-3}}
    assert dict(console.facts(told))["speed elsewhere"] == "1.00 × float on avx2 to 2.00 × float on a72, by the models of 3 devices"
    assert "speed elsewhere" not in dict(console.facts(artifact))
    for entry in timed:
        entry["ratios"] = {"a53": 1.0, "a72": 1.001}
    assert dict(console.facts(told))["speed elsewhere"] == "1.00 × float on each, by the models of 2 devices"


def test_times_are_shares_of_a_whole_by_operator(artifact):
    facts = dict(console.time_facts(TimeShares({"QGemm": 6.0, "QLinearConv": 2.0}, {}, {"QuantizeLinear": 2.0})))
    assert facts["time in INT8"] == "80 %: QGemm 60 %, QLinearConv 20 %"
    assert facts["time in float"] == "none"
    assert facts["time of operators"].startswith("10.0 µs")
    assert dict(console.time_facts(console.times(artifact)))["time in float"] != "none"


def test_json_csv_and_arrays_predict_the_same(artifact):
    rows = [{"age": 1.5, "dose": -2.0, "risk": "high"}, {"age": None, "dose": -1.0, "risk": "low"}]
    array = io.BytesIO()
    np.save(array, np.array([[1.5, -2.0, 2], [np.nan, -1.0, 0]], np.float32))
    found = [
        console.predictions(artifact, content)
        for content in (json.dumps(rows).encode(), b"\xef\xbb\xbfage,dose,risk\n1.5,-2,high\n?,-1,low\n", array.getvalue())
    ]
    assert found[0] == found[1] == found[2]
    assert {entry["label"] for entry in found[0]} <= {"well", "ill"}
    assert sum(found[0][0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_arrays_of_objects_and_binary_noise_are_refused(artifact):
    array = io.BytesIO()
    np.save(array, np.array([{"a": 1}], object), allow_pickle=True)
    for content in (array.getvalue(), b"\x93NUMPY broken", b"\xff\xfe\xfd"):
        with pytest.raises(DataError):
            console.predictions(artifact, content)


def test_records_come_from_stdin_or_a_file_and_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"from stdin")))
    assert console.read_records(None) == b"from stdin"
    (tmp_path / "rows").write_bytes(b"from a file")
    assert console.read_records(tmp_path / "rows") == b"from a file"
    with pytest.raises(MissingFileError, match="no records at"):
        console.read_records(tmp_path / "absent")
    monkeypatch.setattr(console, "MOST_INPUT", 5)
    with pytest.raises(DataError, match="in parts"):
        console.read_records(tmp_path / "rows")


def test_main_exits_with_the_errors_code(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        console.main([str(tmp_path / "absent")])
    assert caught.value.code == 21
    assert capsys.readouterr().err.startswith("error: there is no artifact at")
