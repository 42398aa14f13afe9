"""Student and teacher behind the real service, shortly: both are asked the same, and every figure is there."""

from __future__ import annotations

from benchmarks import risk
from shared.compress.export import export_float
from shared.distill.teacher import own_normalisation
from shared.models import build, count_parameters
from tests.support.networks import LARGE, SMALL, TABLE, records

TEST = records(TABLE, 60)


def test_both_are_asked_and_compared() -> None:
    nets = {
        name: build(settings, TABLE, own_normalisation(TABLE, TEST), seed=1) for name, settings in (("teacher", LARGE), ("student", SMALL))
    }
    files = {name: export_float(net, TABLE) for name, net in nets.items()}
    sizes = {name: count_parameters(net) for name, net in nets.items()}
    rows = {entry.name: entry for entry in risk.compared(files, sizes, TABLE, TEST, risk.Load((40,), 0.5, 1))}
    for name in files:
        assert rows[f"{name}.40.rejected"].value == 0
        assert 0 < rows[f"{name}.40.p50"].value <= rows[f"{name}.40.p99"].value
        assert rows[f"{name}.40.rss"].unit == "MB"
    assert rows["40.faster"].value == rows["teacher.40.p50"].value / rows["student.40.p50"].value


def test_quality_says_what_is_lost() -> None:
    teacher = export_float(build(LARGE, TABLE, own_normalisation(TABLE, TEST), seed=1), TABLE)
    rows = {entry.name: entry for entry in risk.quality({"teacher": teacher, "student": teacher}, TEST)}
    assert rows["lost.accuracy"].value == rows["lost.AUC"].value == 0
    assert rows["teacher.accuracy"].value == rows["student.accuracy"].value
    assert rows["teacher.model"].value > 0
