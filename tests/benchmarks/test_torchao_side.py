"""What torchao's side does without torchao: there is none where these tests run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.torchao_side import Found, Given, measured, reason, with_linears


class Tied(nn.Module):
    """Two layers of one weight, one without a bias, and a product with a weight that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 2)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.second(torch.relu(self.first(inputs)))
        logits: Tensor = self.last(nn.functional.linear(hidden, self.first.weight * 2))
        return logits


def test_products_with_a_weight_are_linear_layers_again() -> None:
    torch.manual_seed(0)
    student, records = Tied().eval(), torch.randn(3, 4)
    program = torch.export.export(student, (records,), strict=True)
    model, count = with_linears(program)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert count == len(layers) == 3
    assert [layer.bias is not None for layer in layers] == [True, False, True]
    torch.testing.assert_close(model(records), student(records))


def test_a_program_without_products_has_no_linear_layers() -> None:
    program = torch.export.export(nn.ReLU(), (torch.ones(2, 2),), strict=True)
    assert with_linears(program)[1] == 0


def test_records_are_answered_one_at_a_time() -> None:
    sizes: list[int] = []

    def model(records: Tensor) -> Tensor:
        sizes.append(len(records))
        return records

    records = torch.eye(4)
    program = torch.export.export(nn.ReLU(), (records,), strict=True)
    figures = measured(model, Given(program, records, records, torch.tensor([0, 1, 2, 0])))
    assert figures["accuracy"] == 0.75
    assert figures["ms"] > 0
    assert set(sizes) == {1}


def test_a_way_that_fails_leaves_the_others_and_its_reason(tmp_path: Path) -> None:
    def fails() -> None:
        raise RuntimeError("no such operator\nand pages of advice")

    found = Found(tmp_path / "found.json")
    found.attempt("eager", lambda: {"accuracy": 1.0, "ms": 2.0})
    found.attempt("file", lambda: None)
    found.attempt("compiled", fails)
    kept = {"figures": {"eager": {"accuracy": 1.0, "ms": 2.0}}, "reasons": {"compiled": "RuntimeError: no such operator"}}
    assert json.loads((tmp_path / "found.json").read_text()) == kept


def test_what_was_found_is_kept_from_the_first_way_on(tmp_path: Path) -> None:
    found = Found(tmp_path / "found.json")

    def ends() -> None:
        raise KeyboardInterrupt

    found.attempt("eager", lambda: {"accuracy": 1.0, "ms": 2.0})
    with pytest.raises(KeyboardInterrupt):
        found.attempt("compiled", ends)
    assert "eager" in json.loads((tmp_path / "found.json").read_text())["figures"]


@pytest.mark.parametrize(
    ("inner", "said"),
    [(ValueError("no such operator"), "ValueError: no such operator"), (ValueError(), "RuntimeError: the export failed")],
)
def test_the_reason_is_the_innermost_that_says_anything(inner: Exception, said: str) -> None:
    outer = RuntimeError("\n  the export failed\nhow to report a bug: …")
    outer.__cause__ = inner
    assert reason(outer) == said
    assert reason(RuntimeError()) == "RuntimeError: it does not say why"
