"""Gradient inversion finds a record where there is one to find, and its measure tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.inversion import Inversion, likeness
from benchmarks.privacy_attack import Scene
from shared.data.digits import read_digits
from shared.models.vector import parameters_in_order


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(12, read_digits())


def test_the_gradient_is_in_the_order_of_the_models_vector(scene: Scene) -> None:
    inputs, labels = torch.from_numpy(scene.everyone.inputs[:3]).to(torch.float32), torch.from_numpy(scene.everyone.labels[:3])
    loss = functional.cross_entropy(scene.student(inputs), labels)
    plain = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, parameters_in_order(scene.student))])
    torch.testing.assert_close(scene.gradient(inputs, labels), plain)


def test_one_record_is_drawn_from_its_update_and_not_from_noise(scene: Scene) -> None:
    rows = scene.draw(1, 0)[:1]
    labels = scene.everyone.labels[rows]
    record = torch.from_numpy(scene.everyone.inputs[rows[0]]).to(torch.float32)
    update = -0.1 * scene.gradient(record, torch.from_numpy(labels[0])).numpy().astype(np.float64)
    attack = Inversion(scene.gradient, scene.known, steps=120, starts=2)
    found = likeness(attack.invert(update[None], labels, 0)[0], rows[0], scene.everyone)
    noise = np.random.default_rng(0).normal(size=(1, update.size))
    missed = likeness(attack.invert(noise, labels, 0)[0], rows[0], scene.everyone)
    guess = likeness(attack.guess(labels)[0], rows[0], scene.everyone)
    assert found.found == 1
    assert found.correlation > 0.95 > missed.correlation
    assert found.psnr > guess.psnr
    assert missed.found == guess.found == 0


def test_images_are_paired_with_records_in_the_best_way(scene: Scene) -> None:
    rows = np.array([5, 17, 900])
    same = scene.everyone.inputs[rows[[2, 0, 1]]].astype(np.float64)
    perfect = likeness(same, rows, scene.everyone)
    assert (perfect.correlation, perfect.found) == (pytest.approx(1.0), 1.0)
    assert likeness(255 - same, rows, scene.everyone).correlation < 0
    assert likeness(same, np.array([5, 18, 901]), scene.everyone).found == pytest.approx(1 / 3)
