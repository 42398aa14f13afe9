from __future__ import annotations

import dataclasses

import pytest

from benchmarks import edge_families
from benchmarks.edge_families import FAMILIES, claims, here, measure
from shared.compress.devices import DEVICES
from shared.settings import NetworkSettings


@pytest.fixture(scope="module")
def found():
    family = FAMILIES["heart_transformer"]()
    short = family.training.model_copy(update={"epochs": 1})
    small = NetworkSettings(width=8, depth=1, heads=2)
    return measure(dataclasses.replace(family, teacher=small, student=small, training=short, teacher_epochs=1), seed=1)


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


def test_this_machine_is_a_known_device_or_any():
    assert here() in DEVICES
