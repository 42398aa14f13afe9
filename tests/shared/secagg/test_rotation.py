from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg import rotation
from shared.secagg.rotation import LARGEST_BLOCK, rotate, rotate_back, rotation_seed
from tests.support.secagg import Federation

SIZES = st.one_of(st.integers(1, 70), st.integers(2**LARGEST_BLOCK - 2, 3 * 2**LARGEST_BLOCK))
SEED = bytes(range(32))


def vector(size: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=size)


@given(SIZES)
def test_it_keeps_norms_and_turns_back(size: int) -> None:
    before = vector(size)
    turned = before.copy()
    rotate(turned, SEED)
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(before), rel=1e-12)
    rotate_back(turned, SEED)
    assert np.allclose(turned, before, atol=1e-12)


def hadamard(size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The textbook matrix of Sylvester, orthonormal."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.sqrt(size)


@pytest.mark.parametrize("shape", [(2, 1), (2, 3), (4, 1), (8, 5), (64, 100), (512, 1), (512, 70), (1024, 600), (2048, 64)])
def test_a_block_is_multiplied_by_the_textbook_matrix(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for slab in (rotation._SLAB, 64, 1000):
        monkeypatch.setattr(rotation, "_SLAB", slab)
        block = vector(shape[0] * shape[1]).reshape(shape)
        expected = hadamard(shape[0]) @ block
        rotation._transform(block)
        assert np.allclose(block, expected, atol=1e-12)


@given(SIZES)
def test_it_is_linear(size: int) -> None:
    one, other = vector(size, 1), vector(size, 2)
    together = one + 3 * other
    for each in (one, other, together):
        rotate(each, SEED)
    assert np.allclose(one + 3 * other, together, atol=1e-11)


@pytest.mark.parametrize("size", [1, 2, 3, 100, 8192, 20_001])
def test_single_precision_gives_the_same_but_for_its_rounding(size: int) -> None:
    double = vector(size)
    single = double.astype(np.float32)
    rotate(double, SEED)
    rotate(single, SEED)
    assert np.abs(single - double).max() < 1e-5


@pytest.mark.parametrize("size", [1000, 8192, 30_000])
def test_one_large_coordinate_is_spread_over_its_block(size: int) -> None:
    for place in (0, size // 2, size - 1):
        spike = np.zeros(size, np.float32)
        spike[place] = 1.0
        rotate(spike, SEED)
        # A block of n coordinates gives 1/√n to each; blocks after it add up what they find at random.
        assert np.abs(spike).max() <= 6.0 / np.sqrt(min(size // 2, 2**LARGEST_BLOCK))


@pytest.mark.parametrize("size", [50_000, 49_153, 57_343, 600_001])
def test_a_layer_that_stands_out_no_longer_does(size: int) -> None:
    update = np.zeros(size, np.float32)
    update[-500:] = vector(500)
    rotate(update, SEED)
    assert np.abs(update).max() < 6 * np.linalg.norm(update) / np.sqrt(size)


def test_the_signs_are_of_the_model_and_the_cell_alone() -> None:
    plan = Federation().plan()
    again = [replace(plan, run="other"), replace(plan, epoch=9), replace(plan, round=9)]
    assert {rotation_seed(other, 0) for other in again} == {rotation_seed(plan, 0)}
    following = replace(plan, blob_digest=bytes(31) + b"\1")
    assert len({rotation_seed(plan, 0), rotation_seed(plan, 1), rotation_seed(following, 0)}) == 3
