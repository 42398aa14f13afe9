"""The library that hides AVX-512 from a process: what runs then are the kernels that a processor with no more than AVX2 would run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.compress.here import cpu_flags

SOURCE = Path(__file__).parents[2] / "benchmarks" / "avx2_only.c"
LIMIT_S = 120
pytestmark = [
    pytest.mark.skipif(not {"cpuid_fault", "avx2", "avx512_vnni"} <= cpu_flags(), reason="this processor has no VNNI to hide, or cannot"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]
FEATURES = "from numpy._core._multiarray_umath import __cpu_features__ as found; print(found['AVX512F'], found['AVX2'])"
PRODUCT = """
import numpy, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
weights = numpy_helper.from_array(numpy.full((64, 32), 127, numpy.int8), "w")
inputs = helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 64])
outputs = helper.make_tensor_value_info("y", TensorProto.INT32, [1, 32])
graph = helper.make_graph([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "product", [inputs], [outputs], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print(*set(session.run(None, {"x": numpy.full((1, 64), 255, numpy.uint8)})[0].ravel().tolist()))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("avx2") / "avx2_only.so"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", made, SOURCE], check=True, timeout=LIMIT_S)
    return made


def _run(script: str, library: Path | None) -> subprocess.CompletedProcess[str]:
    more = {} if library is None else {"LD_PRELOAD": str(library)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_what_is_newer_than_avx2_is_hidden_and_avx2_is_not(library: Path) -> None:
    assert _run(FEATURES, None).stdout.split() == ["True", "True"]
    assert _run(FEATURES, library).stdout.split() == ["False", "True"]


def test_products_of_bytes_saturate_in_16_bits_as_on_such_a_processor(library: Path) -> None:
    assert int(_run(PRODUCT, None).stdout) == 64 * 255 * 127
    # Pairs are added in 16 bits: each of the 32 sticks at the largest.
    assert int(_run(PRODUCT, library).stdout) == 32 * (2**15 - 1)


@pytest.mark.parametrize("fault", ["ctypes.string_at(0)", "ctypes.CFUNCTYPE(None)(8)()"], ids=["read", "jump"])
def test_a_fault_that_is_no_question_for_features_still_ends_the_process(library: Path, fault: str) -> None:
    assert _run(f"import ctypes; {fault}", library).returncode == -signal.SIGSEGV
