from __future__ import annotations

import pytest

from shared.compress.archive import CARD, MANIFEST, MODEL, SIGNATURE, read_files
from shared.compress.artifact import archive_path, write_artifact
from shared.compress.manifest import Manifest
from shared.compress.verify import verify
from shared.errors import ArtifactError, ResourceError


def test_four_files_and_an_archive_of_them(written):
    assert sorted(entry.name for entry in written.iterdir()) == sorted((MODEL, MANIFEST, SIGNATURE, CARD))
    assert read_files(archive_path(written)) == read_files(written)
    assert [entry.name for entry in written.parent.iterdir() if entry.name.startswith(".")] == []


def test_the_manifest_is_completed(written, manifest, public_key, table_int8):
    signed = Manifest.parse((written / MANIFEST).read_bytes())
    assert signed.task == manifest.task
    assert signed.gate == manifest.gate
    assert signed.signer == public_key.hex()
    assert signed.files[MODEL].size == len(table_int8)
    assert signed.operators.int8 == {"Gemm": 1, "MatMul": 4}
    assert signed.inputs is not None
    assert (signed.inputs.dtype, signed.inputs.shape, signed.inputs.missing) == ("float32", (3,), "NaN")
    assert (written / MANIFEST).read_bytes() == signed.canonical()


def test_equal_arguments_give_equal_bytes(tmp_path, written, manifest, table_int8, identity):
    write_artifact(tmp_path / "artifact", table_int8, manifest, identity)
    assert read_files(tmp_path / "artifact") == read_files(written)
    assert archive_path(tmp_path / "artifact").read_bytes() == archive_path(written).read_bytes()


def test_an_older_artifact_is_replaced_whole(tmp_path, manifest, table_int8, identity, public_key):
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "left-over").write_text("old")
    write_artifact(folder, table_int8, manifest, identity)
    write_artifact(folder, table_int8, manifest.model_copy(update={"device": "x86-avx2"}), identity)
    assert verify(folder, public_key)["device"] == "x86-avx2"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["artifact", "artifact.tar.zst"]


def test_a_model_that_does_not_fit_its_task_is_not_kept_quiet(tmp_path, manifest, image_onnx, identity):
    with pytest.raises(ArtifactError):
        write_artifact(tmp_path / "artifact", image_onnx, manifest, identity)


def test_a_place_that_cannot_be_written_is_a_resource_error(tmp_path, manifest, table_int8, identity):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot write"):
        write_artifact(tmp_path / "file" / "artifact", table_int8, manifest, identity)
