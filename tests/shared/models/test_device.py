"""A device is found by its name or refused in a sentence, and what is drawn comes from the given generator alone."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from shared.errors import ConfigError
from shared.models.device import CPU, chosen_device, device_of, repeatable
from tests.support.networks import network


def test_without_a_gpu_auto_is_the_cpu() -> None:
    with patch("torch.cuda.is_available", return_value=False), patch("torch.backends.mps.is_available", return_value=True):
        assert chosen_device("auto") == chosen_device("cpu") == CPU


def test_gpus_are_counted_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "mine")
    with patch("torch.cuda.is_available", return_value=True), patch("torch.cuda.device_count", return_value=2):
        assert chosen_device("auto") == chosen_device("cuda") == torch.device("cuda", 0)
        assert chosen_device("cuda:1") == torch.device("cuda", 1)
        with pytest.raises(ConfigError, match="2 CUDA GPUs"):
            chosen_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "cpu:1", "mps:0", "cuda:x", "gpu", "", "lazy"])
def test_what_is_not_there_is_refused_by_name(name: str) -> None:
    with (
        patch("torch.cuda.is_available", return_value=False),
        patch("torch.backends.mps.is_available", return_value=False),
        pytest.raises(ConfigError, match=f"device '{name}'"),
    ):
        chosen_device(name)


def test_a_model_without_parameters_is_on_the_cpu() -> None:
    assert device_of(torch.nn.Identity()) == device_of(network()) == CPU


@pytest.mark.parametrize("before", [False, True])
def test_repeatable_kernels_are_asked_for_on_gpus_alone_and_put_back(before: bool) -> None:
    torch.use_deterministic_algorithms(before)
    try:
        with repeatable(CPU):
            assert torch.are_deterministic_algorithms_enabled() == before
        with repeatable(torch.device("cuda", 0)):
            assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled() == before
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
