from __future__ import annotations

from shared.compress.card import render
from shared.compress.manifest import Operators


def test_every_figure_comes_from_the_manifest(manifest):
    card = render(manifest.model_copy(update={"operators": Operators(int8={"MatMul": 4})}), 9000)
    for text in (
        "**outcome**",
        "`well`, `ill`",
        "100 held-out records",
        "| float student | 0.8000 |",
        "(this file) | 0.7800 | 1.0000 | 9000 |",
    ):
        assert text in card
    for text in ("4 MatMul", "12 rounds, 1 void", "3 to 4", "1,234 parameters", "56,789 parameters", "600 records", "`portable`"):
        assert text in card


def test_speeds_on_many_devices_are_said_one_by_one(manifest):
    assert "Times as fast" not in render(manifest, 1)
    timed = tuple(entry.model_copy(update={"ratios": {"cortex-a72": 0.8, "x86-avx2": 1.0}}) for entry in manifest.gate.candidates)
    card = render(manifest.model_copy(update={"gate": manifest.gate.model_copy(update={"candidates": timed})}), 1)
    assert "by the models of the devices that it is for: 1.25 on `cortex-a72`, 1.00 on `x86-avx2`." in card
    assert f"more than models can tell: {timed[0].name} 1.00" in card


def test_every_column_is_listed_with_its_categories(manifest):
    card = render(manifest, 1)
    assert "| age | numeric |  |" in card
    assert "| risk | categorical | low, middle, high |" in card


def test_privacy_is_said_as_it_is(manifest):
    assert "No differential privacy was used" in render(manifest, 1)
    spent = manifest.provenance.model_copy(update={"epsilon": 2.5, "delta": 1e-5})
    assert "ε = 2.5 at δ = 1e-05 was spent in all. Statistics, evaluation, calibration and gate are exact sums and not covered." in render(
        manifest.model_copy(update={"provenance": spent}), 1
    )


def test_what_is_not_known_is_left_out(manifest, image_task):
    bare = manifest.provenance.model_copy(update={"teacher_parameters": None, "train_records": None, "cohort_sizes": ()})
    card = render(manifest.model_copy(update={"provenance": bare, "task": image_task}), 1)
    assert "teachers" not in card
    assert "learnt from" not in card
    assert "not recorded" in card
    assert "8 × 8 pixels and 1 channel(s)" in card


def test_column_names_cannot_break_the_table(manifest, table_task):
    odd = table_task.columns[0].model_copy(update={"name": "a|b\nc"})
    task = table_task.model_copy(update={"columns": (odd, *table_task.columns[1:])})
    assert "| a\\|b c | numeric |" in render(manifest.model_copy(update={"task": task}), 1)


def test_what_the_student_keeps_of_a_graph_is_said_by_column(manifest):
    assert "keeps a part" not in render(manifest, 1)
    came = manifest.provenance.model_copy(update={"tables": {"drug": 4800, "a|b": 12}})
    card = render(manifest.model_copy(update={"provenance": came}), 1)
    assert "`drug` (4,800), `a\\|b` (12); its licence applies to this file too" in card
