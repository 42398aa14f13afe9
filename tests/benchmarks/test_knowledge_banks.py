"""Banks that own their clients' transactions alone, and what a table is held against."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import knowledge_table
from benchmarks.knowledge_banks import BANKS, LINKED, PLAIN, claims_of, later_of, split, task_of, written
from benchmarks.knowledge_fraud import TRAINING
from tests.benchmarks.test_fraud_waves import invented


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSTILL_BENCH_DATA", str(tmp_path))
    (tmp_path / "sffsd").mkdir()
    table = invented(2000, 1)
    with (tmp_path / "sffsd" / "S-FFSD.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return tmp_path


def test_a_bank_has_its_own_clients_and_links_their_transactions_alone(data: Path) -> None:
    rows, cut = written(data / "paid.csv", "70", 3)
    owners = {row["payer"]: row["bank"] for row in rows}
    assert all(owners[row["payer"]] == row["bank"] for row in rows)
    assert len(set(owners.values())) == BANKS
    task = task_of(LINKED, rows, cut)
    own, whole = (split(data / "paid.csv", task, cut, rows, together=together) for together in (False, True))
    assert sum(len(one.train) + len(one.test) for one in own.values()) == sum(row["fraud"] != "" for row in rows)
    for bank in own:
        np.testing.assert_array_equal(own[bank].test.labels, whole[bank].test.labels)
        seen = LINKED.index("target.in5000")
        assert (own[bank].test.inputs[:, seen] < whole[bank].test.inputs[:, seen]).all(), "there is one target, and all banks pay it"
    assert len(later_of(own)) == sum(len(one.test) for one in own.values())


def test_ids_are_those_that_labelled_rows_before_the_cut_have(data: Path) -> None:
    rows, cut = written(data / "paid.csv", "70", 3)
    task = task_of(PLAIN, rows, cut)
    kinds = next(column for column in task.columns if column.name == "kind")
    assert kinds.kind == "categorical"
    assert kinds.categories == ("k0", "k1", "k2")


def test_every_method_has_claims_and_gains_are_points() -> None:
    run = {name: {"auc": value, "recall1": value, "recall5": value} for name, value in (("plain", 0.5), ("linked", 0.75), ("whole", 0.5))}
    found = {one.name: one for one in claims_of("70", [run | {"boosting": run["plain"], "boosting_linked": run["linked"]}])}
    assert found["70.linked.auc.gain"].value == pytest.approx(25.0)
    assert found["70.whole.recall5.gain"].value == 0.0


def test_a_table_costs_its_bytes_and_all_methods_are_graded_alike(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge_table, "MANY", knowledge_table.MANY.model_copy(update={"epochs": 2}))
    monkeypatch.setattr(knowledge_table, "TRAINING", TRAINING.model_copy(update={"epochs": 1}))
    case = knowledge_table.transactions("70")
    runs = [{method: knowledge_table.scored(case, method, 0) for method in knowledge_table.METHODS}]
    rows = sum(len(ids) for ids in case.entities.values())
    assert runs[0]["none"]["bytes"] == 0
    assert runs[0]["table"]["bytes"] == rows * (case_width(runs) + 4)
    assert runs[0]["table"]["file"] > runs[0]["none"]["file"]
    names = [one.name for one in knowledge_table.claims_of("ffsd 70", runs)]
    assert {"ffsd 70.table.auc.gain", "ffsd 70.shuffled.recall5.gain", "ffsd 70.table.bytes"} <= set(names)


def case_width(runs: list[dict[str, dict[str, float]]]) -> int:
    """Five entities less their mean lie in four directions."""
    assert runs[0]["table"]["bytes"] == runs[0]["shuffled"]["bytes"]
    return 4


def test_the_control_has_a_family_for_every_drug() -> None:
    case = knowledge_table.made_up(1)
    assert (len(case.train), len(case.test), len(case.entities["drug"])) == (200, 4000, 400)
    by_drug: dict[float, int] = {}
    for drug, label in zip(case.test.inputs[:, 0].tolist(), case.test.labels.tolist(), strict=True):
        assert by_drug.setdefault(drug, label) == label
