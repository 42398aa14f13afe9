from __future__ import annotations

import dataclasses

import pytest

from benchmarks import edge_families
from benchmarks.edge_families import FAMILIES, as_users_do, claims, here, measure
from benchmarks.quantisers import NNCF, TORCHAO, InTorch
from shared.compress import runtime
from shared.compress.devices import DEVICES
from shared.compress.export import export_float
from shared.distill.teacher import own_normalisation
from shared.models import build
from shared.settings import NetworkSettings
from tests.support.networks import TEXTS, records


def short_measure():
    family = FAMILIES["heart_transformer"]()
    short = family.training.model_copy(update={"epochs": 1})
    small = NetworkSettings(width=8, depth=1, heads=2)
    return measure(dataclasses.replace(family, teacher=small, student=small, training=short, teacher_epochs=1), seed=1)


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as alone:
        for variable in (NNCF, TORCHAO):
            alone.delenv(variable, raising=False)
        return short_measure()


def test_every_stage_is_measured(found):
    assert list(found) == ["teacher", "student", "float", "users", "signed"]
    for figures in found.values():
        assert 0 < figures["accuracy"] <= 1
        assert min(figures["ms"], figures["kb"], figures["mb"]) > 0
    assert found["float"]["than_float"] == 1.0
    assert found["teacher"]["faster"] == 1.0
    assert found["signed"]["kb"] < found["float"]["kb"]


def test_goals_are_the_signed_files(found):
    entries = {entry.name: entry for entry in claims("heart", [found, found])}
    assert entries["heart.signed.behind"].goal == edge_families.BEHIND
    assert entries["heart.users.behind"].goal is None
    assert "heart.teacher.behind" not in entries


def test_a_stage_has_the_figures_and_seeds_that_it_was_measured_with(found):
    elsewhere = {"accuracy": 0.5, "ms": 2.0, "behind": 1.0, "than_float": 0.5, "faster": 2.0}
    entries = {entry.name: entry for entry in claims("heart", [found, {**found, "torchao_torch_static": elsewhere}])}
    names = [f"heart.torchao_torch_static.{figure}" for figure in ("accuracy", "ms", "behind", "faster", "than_float")]
    assert [name for name in entries if "torchao" in name] == names
    assert {entries[name].seeds for name in names} == {1}
    assert entries["heart.signed.ms"].seeds == 2


def test_what_torch_measured_elsewhere_stands_beside_float(monkeypatch, found):
    monkeypatch.delenv(NNCF, raising=False)
    monkeypatch.setattr(edge_families, "by_torchao", lambda *given: InTorch(None, {"torchao_torch_static": {"accuracy": 0.5, "ms": 2.0}}))
    again = short_measure()
    assert list(again) == [*found, "torchao_torch_static"]
    figures = again["torchao_torch_static"]
    assert figures["behind"] == pytest.approx(100 * (again["float"]["accuracy"] - 0.5))
    assert figures["than_float"] == pytest.approx(again["float"]["ms"] / 2.0)
    assert "lighter" not in figures


def test_this_machine_is_a_known_device_or_any():
    assert here() in DEVICES


def test_onnxruntimes_own_way_takes_an_encoder_too_and_leaves_nothing_behind(tmp_path, monkeypatch):
    # Its symbolic shape inference gives up on it, and writes what it had into the current folder.
    current, folder = tmp_path / "current", tmp_path / "folder"
    current.mkdir()
    folder.mkdir()
    monkeypatch.chdir(current)
    known = records(TEXTS, 24)
    student = build(NetworkSettings(width=16, depth=2, heads=2), TEXTS, own_normalisation(TEXTS, known), seed=1)
    content = export_float(student, TEXTS)
    made = runtime.logits(runtime.session(as_users_do(content, known.inputs, folder)), known.inputs)
    assert made.shape == runtime.logits(runtime.session(content), known.inputs).shape
    assert not list(current.iterdir())
