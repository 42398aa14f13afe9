from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.compress import runtime
from shared.compress.archive import CARD, MANIFEST, MODEL, SIGNATURE, TOKENIZER
from shared.compress.artifact import archive_path
from shared.compress.verify import DOMAIN, open_artifact, parse_key, predict, verify
from shared.errors import ArtifactError

STRANGER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)


def raw(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def signed_again(folder: Path, target: Path, change, key) -> Path:
    """A copy of the artifact whose manifest is changed and signed by ``key``."""
    shutil.copytree(folder, target)
    manifest = json.loads((target / MANIFEST).read_bytes())
    change(manifest)
    body = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    (target / MANIFEST).write_bytes(body)
    (target / SIGNATURE).write_bytes(key.sign(DOMAIN + body))
    return target


def test_folder_and_archive_verify(written, public_key):
    assert verify(written, public_key) == verify(archive_path(written)) == json.loads((written / MANIFEST).read_bytes())


def test_predictions_are_those_of_the_model(written, public_key, table_int8, table_rows):
    expected = runtime.logits(runtime.session(table_int8), table_rows)
    found = predict(written, table_rows, public_key)
    assert (found.labels == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)
    assert (found.probabilities.argmax(axis=1) == found.labels).all()


def test_no_records_give_no_predictions(written, table_rows):
    assert predict(written, table_rows[:0]).labels.shape == (0,)


def test_an_artifact_without_a_version_has_version_0(written, tmp_path, identity):
    assert open_artifact(written).version == 0
    assert open_artifact(signed_again(written, tmp_path / "old", lambda m: m.pop("version"), identity)).version == 0
    assert open_artifact(signed_again(written, tmp_path / "new", lambda m: m.update(version=12), identity)).version == 12


def test_wrong_inputs_are_refused_in_a_sentence(written, table_rows):
    artifact = open_artifact(written)
    for inputs in (table_rows.astype(np.float64), table_rows[:, :2], np.zeros((1, 8, 8, 1), np.uint8)):
        with pytest.raises(ArtifactError, match="encode the records by the manifest"):
            artifact.predict(inputs)


def test_a_foreign_key_is_refused(written):
    with pytest.raises(ArtifactError, match="another key"):
        verify(written, raw(STRANGER))


def test_signing_again_with_another_key_helps_nobody_who_compares(written, tmp_path, public_key):
    forged = signed_again(written, tmp_path / "a", lambda m: m.update(signer=raw(STRANGER).hex()), STRANGER)
    assert verify(forged)["signer"] == raw(STRANGER).hex()
    with pytest.raises(ArtifactError, match="another key"):
        verify(forged, public_key)


def test_a_manifest_that_names_another_signer_is_refused(written, tmp_path, public_key, identity):
    mixed = signed_again(written, tmp_path / "a", lambda m: m.update(signer=raw(STRANGER).hex()), identity)
    with pytest.raises(ArtifactError, match="names another signer"):
        verify(mixed, public_key)


def test_a_signature_over_the_manifest_alone_does_not_count(written, tmp_path, public_key, identity):
    shutil.copytree(written, tmp_path / "a")
    (tmp_path / "a" / SIGNATURE).write_bytes(identity.sign((written / MANIFEST).read_bytes()))
    with pytest.raises(ArtifactError, match="signature"):
        verify(tmp_path / "a", public_key)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(format=2), "format 2"),
        (lambda m: m.update(version=-1), "version is not a whole number"),
        (lambda m: m.update(version=True), "version is not a whole number"),
        (lambda m: m.update(version=1.5), "version is not a whole number"),
        (lambda m: m["files"].update({"extra": {"sha256": "0" * 64, "size": 0}}), "nothing else"),
        (lambda m: m.update(files=[]), "nothing else"),
        (lambda m: m["files"][CARD].update(size=1), "card.md is not the file"),
        (lambda m: m["files"][MODEL].update(sha256="0" * 64), "model.onnx is not the file"),
        (lambda m: m.update(task=None), "task cannot be read"),
        (lambda m: m["task"].update(family="image"), "task cannot be read"),
        (lambda m: m["task"].update(labels=["only", "two", "and more"]), "3 finite numbers"),
    ],
)
def test_a_signed_manifest_must_still_make_sense(written, tmp_path, public_key, identity, change, reason):
    with pytest.raises(ArtifactError, match=reason):
        verify(signed_again(written, tmp_path / "a", change, identity), public_key)


@pytest.mark.parametrize("content", [b"", b"[]", b"not json", b'{"signer": 7}', b'{"signer": "zz"}', b"[" * 100_000])
def test_a_manifest_of_nonsense_is_refused(written, tmp_path, content):
    shutil.copytree(written, tmp_path / "a")
    (tmp_path / "a" / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError):
        verify(tmp_path / "a")


def test_a_signed_file_that_is_no_model_is_refused(written, tmp_path, public_key, identity):
    import hashlib

    entry = {"sha256": hashlib.sha256(b"no model").hexdigest(), "size": 8}
    folder = signed_again(written, tmp_path / "a", lambda m: m["files"].update({MODEL: entry}), identity)
    (folder / MODEL).write_bytes(b"no model")
    with pytest.raises(ArtifactError, match="onnxruntime cannot load"):
        verify(folder, public_key)


@pytest.fixture(scope="module")
def copy(written, tmp_path_factory):
    return Path(shutil.copytree(written, tmp_path_factory.mktemp("flips") / "artifact"))


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("name", [MODEL, MANIFEST, SIGNATURE, CARD])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_flipped_bit_is_noticed(copy, public_key, name, with_key, data):
    content = (copy / name).read_bytes()
    position = data.draw(st.integers(0, len(content) * 8 - 1))
    damaged = bytearray(content)
    damaged[position // 8] ^= 1 << position % 8
    try:
        (copy / name).write_bytes(bytes(damaged))
        with pytest.raises(ArtifactError):
            verify(copy, public_key if with_key else None)
    finally:
        (copy / name).write_bytes(content)


@pytest.mark.parametrize("name", [MODEL, MANIFEST, SIGNATURE, CARD])
def test_missing_and_added_bytes_are_noticed(copy, public_key, name):
    content = (copy / name).read_bytes()
    for damaged in (b"", content[:-1], content + b"\n"):
        try:
            (copy / name).write_bytes(damaged)
            with pytest.raises(ArtifactError):
                verify(copy, public_key)
        finally:
            (copy / name).write_bytes(content)


def test_keys_are_read_in_every_form(tmp_path, public_key, identity):
    assert parse_key(public_key.hex()) == public_key
    (tmp_path / "hex").write_text(public_key.hex() + "\n")
    pem = identity.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pem").write_bytes(pem)
    (tmp_path / "roster.json").write_text(json.dumps({"coordinator": base64.b64encode(public_key).decode(), "members": {}}))
    for name in ("hex", "pem", "roster.json"):
        assert parse_key(str(tmp_path / name)) == public_key


@pytest.mark.parametrize("text", ["", "abcd", "zz" * 32, "00" * 31, "{}", "-----BEGIN NOTHING-----", "\xff", '{"coordinator": "AA=="}'])
def test_what_is_no_key_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text, encoding="latin-1")
    for given_ in (text, str(tmp_path / "key")):
        with pytest.raises(ArtifactError, match="neither 64 hex digits"):
            parse_key(given_)


EDGE = """
import sys

class OnlyTheEdge:
    allowed = {"numpy", "onnxruntime", "cryptography", "cffi", "_cffi_backend", "shared", "flatbuffers", "zstandard"}
    standard = sys.stdlib_module_names | {"google"}

    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in self.allowed and root not in self.standard and not root.startswith("_"):
            raise ImportError(f"{name} is not on this device")

sys.meta_path.insert(0, OnlyTheEdge())
from shared.compress.console import main
main(sys.argv[1:])
for name in ("torch", "onnx", "pydantic", "typer", "rich", "flwr"):
    assert name not in sys.modules, name
"""


def test_a_device_with_three_packages_can_verify_show_and_predict(written, public_key, table_rows, tmp_path):
    np.save(tmp_path / "rows.npy", table_rows)
    arguments = [str(written), "--key", public_key.hex(), "--show", "--predict", str(tmp_path / "rows.npy")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", EDGE, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line)["label"] for line in done.stdout.splitlines() if line.startswith("{")]
    assert answers == [("well", "ill")[index] for index in predict(written, table_rows).labels]
    assert "operators in INT8: 1 Gemm, 4 MatMul" in done.stdout


def test_the_module_runs_by_itself_and_exits_with_the_errors_code(written, tmp_path):
    shutil.copytree(written, tmp_path / "a")
    (tmp_path / "a" / CARD).write_text("all is well")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "shared.compress.verify"]
    done = subprocess.run([*command, str(tmp_path / "a")], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.startswith("error: card.md is not the file that was signed")


def test_a_tokeniser_in_an_artifact_of_tables_is_refused(written, tmp_path):
    shutil.copytree(written, tmp_path / "a")
    (tmp_path / "a" / TOKENIZER).write_text("{}")
    with pytest.raises(ArtifactError, match="must hold"):
        verify(tmp_path / "a")
