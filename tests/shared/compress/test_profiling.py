from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from shared.compress.profiling import blank, time_shares
from shared.errors import ArtifactError


def test_operators_are_told_apart_as_the_runtime_runs_them(table_int8: bytes) -> None:
    found = time_shares(table_int8, np.ones((1, 3), np.float32))
    assert set(found.conversions) <= {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
    assert found.conversions["QuantizeLinear"] > 0
    assert found.int8
    assert not {"Softmax", "LayerNormalization"} & set(found.int8)
    assert found.floating["LayerNormalization"] > 0
    assert sum(found.shares().values()) == pytest.approx(1.0)
    assert found.total > 0


def test_a_float_file_has_no_time_in_int8(image_onnx: bytes, images: np.ndarray) -> None:
    found = time_shares(image_onnx, images[:1])
    assert found.int8 == {}
    # The pixels themselves are whole numbers.
    assert set(found.conversions) <= {"Transpose", "Cast"}
    assert found.shares()["float"] > 0.5


def test_nothing_is_left_on_the_disk(table_int8: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    time_shares(table_int8, np.ones((1, 3), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["float32", "uint8", "int32"])
def test_a_blank_record_fits_its_schema(kind: str) -> None:
    record = blank({"shape": [4, 2], "dtype": kind})
    assert (record.shape, record.dtype, record.sum()) == ((1, 4, 2), np.dtype(kind), 8)


def test_a_record_that_does_not_fit_is_refused(table_int8: bytes) -> None:
    with pytest.raises(ArtifactError, match="the model takes"):
        time_shares(table_int8, np.ones((1, 4), np.float32))
