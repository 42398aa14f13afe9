from __future__ import annotations

import pytest

from shared.compress.here import is_here


@pytest.mark.parametrize(
    ("flags", "named", "expected"),
    [
        ("flags : fpu sse2 avx2 fma", {"avx2", "fma"}, True),
        ("flags : fpu avx2 fma avx512f avx512_vnni", {"avx2", "fma"}, False),
        ("flags : fpu avx2 fma avx512f avx512_vnni", {"avx2", "fma", "avx512", "avx512-vnni"}, True),
        ("Features : fp asimd", {"neon"}, True),
        ("Features : fp asimd asimddp", {"neon"}, False),
        ("Features : fp asimd asimddp", {"neon", "dotprod"}, True),
        ("model name : something", {"avx2", "fma"}, False),
        ("model name : something", {"any"}, True),
    ],
)
def test_kernels_are_chosen_by_all_that_a_cpu_has(tmp_path, flags, named, expected):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert is_here(named, tmp_path / "cpuinfo") == expected


def test_a_system_that_does_not_say_is_no_device(tmp_path):
    assert not is_here({"avx2"}, tmp_path / "nothing")
    assert is_here({"any"}, tmp_path / "nothing")
