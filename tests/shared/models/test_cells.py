"""Feature maps as cells: order, averages, and unit length."""

from __future__ import annotations

import torch

from shared.models.cells import FINEST, activation_attention, cells


def test_cells_go_row_by_row() -> None:
    maps = torch.arange(2 * 3 * 2 * 2, dtype=torch.float32).reshape(2, 3, 2, 2)
    assert torch.equal(cells(maps)[1, :, 2], maps[1, 2].reshape(-1))


def test_fine_maps_are_averaged_down() -> None:
    maps = torch.rand(1, 2, 2 * FINEST, 2 * FINEST)
    found = cells(maps)
    assert found.shape == (1, FINEST**2, 2)
    torch.testing.assert_close(found[0, 0], maps[0, :, :2, :2].mean(dim=(1, 2)))


def test_activation_attention_by_hand() -> None:
    maps = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]], [[[1.0, 1.0]], [[0.0, 0.0]]]])  # two images, two channels, 1 × 2
    root = 2**-0.5
    torch.testing.assert_close(activation_attention(maps), torch.tensor([[1.0, 0.0], [root, root]]))


def test_a_dead_map_is_no_nan() -> None:
    assert torch.equal(activation_attention(torch.zeros(1, 4, 3, 3)), torch.zeros(1, 9))
