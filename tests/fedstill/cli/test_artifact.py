from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from client.edge.batching import Limits
from client.edge.command import main as edge_command
from client.edge.server import EdgeOptions, Tls
from fedstill.cli.artifact import app
from shared.compress.artifact import write_artifact
from shared.compress.manifest import CandidateResult, GateResult, Manifest, Provenance
from shared.errors import ArtifactError, ConfigError, DataError, DowngradeError
from shared.task import CategoricalColumn, NumericColumn, TabularTask

RUN = CliRunner()


def linear_model() -> bytes:
    """The answer is "yes" where x + risk > 0."""
    weights = np.array([[-1.0, 1.0], [-1.0, 1.0]], np.float32)
    node = helper.make_node("MatMul", ["inputs", "w"], ["logits"], "linear")
    clean = [
        helper.make_node("IsNaN", ["inputs"], ["absent"], "absent"),
        helper.make_node("Where", ["absent", "zero", "inputs"], ["known"], "known"),
    ]
    node.input[0] = "known"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("inputs", "logits")]
    tensors = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array(0.0, np.float32), "zero")]
    graph = helper.make_graph([*clean, node], "linear", ends[:1], ends[1:], tensors)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    columns = (NumericColumn(name="x"), CategoricalColumn(kind="categorical", name="risk", categories=("low", "high")))
    task = TabularTask(family="tabular", label="y", labels=("no", "yes"), columns=columns)
    gate = GateResult(
        records=10, float_right=9, max_drop=0.1, candidates=(CandidateResult(name="u8u8", right=8, agree=9, size=5),), winner="u8u8"
    )
    provenance = Provenance(federation="f", run="r", rounds=3, void_rounds=0, roster_digest="0" * 64, student_parameters=4)
    manifest = Manifest(task=task, device="portable", grid="u8u8", gate=gate, provenance=provenance)
    write_artifact(tmp_path / "artifact", linear_model(), manifest, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    return tmp_path / "artifact"


def signer(artifact: Path) -> str:
    return str(json.loads((artifact / "manifest.json").read_bytes())["signer"])


def test_verify_says_who_signed(artifact):
    done = RUN.invoke(app, ["verify", str(artifact)])
    assert done.exit_code == 0
    assert signer(artifact) in done.stdout
    assert "give --key" in done.stdout


def test_verify_compares_the_key_and_speaks_json(artifact):
    done = RUN.invoke(app, ["verify", str(artifact), "--key", signer(artifact), "--json"])
    found = json.loads(done.stdout)
    assert found["verified"] is True
    assert found["signer_compared"] is True


def test_a_foreign_key_and_a_changed_card_are_errors(artifact):
    done = RUN.invoke(app, ["verify", str(artifact), "--key", "11" * 32])
    assert isinstance(done.exception, ArtifactError)
    (artifact / "card.md").write_text("fine")
    assert isinstance(RUN.invoke(app, ["verify", str(artifact)]).exception, ArtifactError)


def test_show_prints_a_table_or_the_manifest(artifact):
    done = RUN.invoke(app, ["show", str(artifact)])
    assert "operators in INT8" in done.stdout
    assert "0.8000, float 0.9000" in done.stdout
    assert "time in float" in done.stdout
    found = json.loads(RUN.invoke(app, ["show", str(artifact), "--json"]).stdout)
    assert found["gate"]["records"] == 10
    assert sum(found["time_shares"].values()) == pytest.approx(1.0)
    for more in ([], ["--json"]):
        assert "time" not in RUN.invoke(app, ["show", str(artifact), "--no-time", *more]).stdout


def test_serve_once_encodes_categories_by_the_manifest(artifact):
    done = RUN.invoke(app, ["serve-once", str(artifact)], input='{"x": -0.5, "risk": "high"}')
    assert done.stdout.split("\t")[0] == "yes"
    done = RUN.invoke(app, ["serve-once", str(artifact), "--json"], input="x,risk\n-0.5,low\n-0.5,high\n")
    assert [entry["label"] for entry in json.loads(done.stdout)["predictions"]] == ["no", "yes"]


def test_serve_once_reads_a_file_and_the_archive(artifact, tmp_path):
    (tmp_path / "rows.json").write_text('[{"x": 3, "risk": null}, {"x": -3, "risk": "low"}]')
    done = RUN.invoke(app, ["serve-once", f"{artifact}.tar.zst", "--input", str(tmp_path / "rows.json")])
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["yes", "no"]


def test_serve_once_answers_within_a_head_that_there_is(artifact, tmp_path):
    (tmp_path / "row.json").write_text('{"x": 2, "risk": "low"}')
    arguments = ["serve-once", str(artifact), "--input", str(tmp_path / "row.json")]
    done = RUN.invoke(app, [*arguments, "--head", "steel"])
    assert isinstance(done.exception, DataError)
    assert "no head 'steel'" in str(done.exception)
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    task = manifest["task"] | {"heads": [{"name": "only", "labels": ["no", "yes"]}]}
    changed = Manifest.model_validate(manifest | {"task": task, "files": {}, "signer": None})
    write_artifact(tmp_path / "headed", linear_model(), changed, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    asked = RUN.invoke(app, ["serve-once", str(tmp_path / "headed"), *arguments[2:], "--head", "only", "--json"])
    assert json.loads(asked.stdout)["predictions"][0]["label"] == "yes"
    assert "only: no, yes" in RUN.invoke(app, ["show", str(tmp_path / "headed")]).stdout


def test_install_pins_the_signer_and_rollback_goes_back(artifact, tmp_path):
    home, key = str(tmp_path / "home"), signer(artifact)
    assert isinstance(RUN.invoke(app, ["install", str(artifact), "--to", home]).exception, ConfigError)
    done = RUN.invoke(app, ["install", str(artifact), "--to", home, "--key", key])
    assert "version 0" in done.stdout
    newer = numbered(artifact, tmp_path / "newer", 2)
    done = RUN.invoke(app, ["install", str(newer), "--to", home, "--json"])
    assert json.loads(done.stdout)["current"]["version"] == 2
    caught = RUN.invoke(app, ["install", str(numbered(artifact, tmp_path / "older", 1)), "--to", home]).exception
    assert isinstance(caught, DowngradeError)
    assert caught.exit_code == 71
    done = RUN.invoke(app, ["rollback", home])
    assert "version 0" in done.stdout
    assert "no older than 2 will be installed" in done.stdout
    assert isinstance(RUN.invoke(app, ["rollback", home]).exception, ArtifactError)


def test_serve_passes_on_what_it_was_given(artifact, monkeypatch):
    given = []
    monkeypatch.setattr("client.edge.command.serve", lambda *arguments: given.append(arguments))
    options = ["--listen", "0.0.0.0:7", "--tls-cert", "c.pem", "--tls-key", "k.pem", "--tls-client-ca", "ca.pem", "--metrics-port", "9"]
    more = ["--max-batch", "8", "--max-wait-ms", "2", "--queue-rows", "16", "--threads", "2", "--max-message-kb", "5", "--drain-s", "3"]
    done = RUN.invoke(app, ["serve", str(artifact), "--key", signer(artifact), *options, *more, "--insecure"])
    assert done.exit_code == 0, done.exception
    path, key, found, *_ = given[0]
    assert (path, key.hex()) == (artifact, signer(artifact))
    assert found == EdgeOptions(
        listen="0.0.0.0:7",
        tls=Tls(Path("c.pem"), Path("k.pem"), Path("ca.pem")),
        insecure=True,
        metrics_port=9,
        limits=Limits(batch=8, queue=16, wait_s=0.002),
        threads=2,
        largest_message=5120,
        drain_s=3.0,
    )


def test_the_defaults_of_both_command_lines_are_those_of_the_service(artifact, monkeypatch):
    given = []
    monkeypatch.setattr("client.edge.command.serve", lambda *arguments: given.append(arguments[2]))
    RUN.invoke(app, ["serve", str(artifact)])
    edge_command(["serve", str(artifact)])
    assert given == [EdgeOptions(), EdgeOptions()]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], ConfigError),
        (["--key", "11" * 32], ArtifactError),
        (["--tls-cert", "c.pem"], ConfigError),
        (["--listen", "0.0.0.0:1"], ConfigError),
        (["--listen", "nowhere"], ConfigError),
        (["--max-batch", "2000"], ConfigError),
    ],
)
def test_serve_refuses_before_it_listens(artifact, options, error):
    assert isinstance(RUN.invoke(app, ["serve", str(artifact), *options]).exception, error)


def numbered(artifact: Path, folder: Path, version: int) -> Path:
    """The same artifact signed again with a version."""
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    changed = Manifest.model_validate(manifest | {"version": version, "files": {}, "signer": None})
    write_artifact(folder, linear_model(), changed, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    return folder
