from __future__ import annotations

import numpy as np
import pytest

from shared.compress import runtime
from shared.errors import ArtifactError


def test_batches_do_not_change_the_answers(dense_onnx):
    inputs = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    loaded = runtime.session(dense_onnx)
    np.testing.assert_allclose(runtime.logits(loaded, inputs, batch=7), runtime.logits(loaded, inputs), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 16, 64])
def test_an_int8_student_gives_the_same_bits_in_any_company(table_int8, table_rows, batch):
    loaded = runtime.session(table_int8)
    np.testing.assert_array_equal(runtime.logits(loaded, table_rows, batch=batch), runtime.logits(loaded, table_rows))


def test_no_records_give_an_empty_answer_of_the_right_width(dense_onnx):
    assert runtime.logits(runtime.session(dense_onnx), np.zeros((0, 4), np.float32)).shape == (0, 3)


def test_exact_sessions_compute_the_same(dense_onnx):
    inputs = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    plain, exact = (runtime.logits(runtime.session(dense_onnx, exact=exact), inputs) for exact in (False, True))
    np.testing.assert_allclose(exact, plain, atol=1e-5)


def test_what_is_no_model_is_refused(capfd):
    with pytest.raises(ArtifactError, match="cannot load"):
        runtime.session(b"no model")
    assert capfd.readouterr() == ("", "")


def test_wrong_shapes_are_refused_quietly(dense_onnx, capfd):
    with pytest.raises(ArtifactError, match=r"takes tensor\(float\) of shape \['batch', 4\], but got float32 of shape \[2, 5\]"):
        runtime.logits(runtime.session(dense_onnx), np.zeros((2, 5), np.float32))
    assert capfd.readouterr() == ("", "")
