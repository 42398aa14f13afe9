"""What is learnt from, what is tested, and that grades are what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.fraud_waves import (
    COUNTS,
    DESIGN,
    GRAPH,
    IDS,
    WAVES,
    Ledger,
    alarms_at,
    best_threshold,
    grades,
    ledgers_of,
    recall_at,
)
from benchmarks.knowledge_fraud import COMPARED, boosted, claims_of, compared, scored


def invented(count: int, seed: int) -> dict[str, list[str]]:
    """Transactions in which a fraud is one of ten in a row by a new source."""
    random = np.random.default_rng(seed)
    fraud = random.random(count // 10) < 0.4
    sources = [f"new{row // 10}" if fraud[row // 10] else f"old{random.integers(5)}" for row in range(count)]
    labels = ["2" if random.random() < 0.3 else str(int(fraud[row // 10])) for row in range(count)]
    kinds = [f"k{random.integers(3)}" for _ in range(count)]
    amounts = [f"{random.integers(5)}" for _ in range(count)]
    columns = {"Time": [str(row) for row in range(count)], "Source": sources, "Target": ["t"] * count, "Location": ["l"] * count}
    return {**columns, "Type": kinds, "Amount": amounts, "Labels": labels}


@pytest.fixture(scope="module")
def ledgers() -> tuple[Ledger, Ledger]:
    return ledgers_of(invented(1200, 1), 0)


def test_no_cut_of_the_design_reaches_into_the_last_eighth() -> None:
    assert max(last for _, last in DESIGN.values()) <= min(first for first, last in WAVES.values() if first > 0.7)


def test_learnt_come_before_tested_and_all_have_labels(ledgers: tuple[Ledger, Ledger]) -> None:
    train, test = ledgers[0].parts((0.5, 0.75))
    assert train.max() < test.min()
    assert (ledgers[0].labels[np.concatenate([train, test])] >= 0).all()
    assert len(train) == pytest.approx(2 * len(test), abs=2)
    extra = ledgers[0].unlabelled(int(test[0]), 50, 3)
    assert (ledgers[0].labels[extra] < 0).all()
    assert extra.max() < test[0]


def test_a_category_that_training_hardly_shows_is_not_known(ledgers: tuple[Ledger, Ledger]) -> None:
    ledger, train = ledgers[0], np.arange(100)
    kinds = ledger.figures["kind"].copy()
    kinds[[3, 500]] = 77
    columns, inputs = Ledger(ledger.labels, {**ledger.figures, "kind": kinds}).table(("amount", "kind"), train)
    assert [column.kind for column in columns] == ["numeric", "categorical"]
    assert np.isnan(inputs[[3, 500], 1]).all()
    assert np.isfinite(inputs[kinds != 77, 1]).all()


def test_the_graph_sees_no_ids() -> None:
    assert not set(IDS) & set(GRAPH)
    assert set(IDS) <= set(COUNTS)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=4, max_size=60))
def test_false_alarms_at_a_recall_find_at_least_that_recall(rows: list[tuple[int, int]]) -> None:
    scores, truth = (np.array(part) for part in zip(*[*rows, (3, 0), (3, 1)], strict=True))
    found = alarms_at(scores.astype(np.float64), truth, 0.5)
    assert found == pytest.approx(min((scores[truth == 0] >= one).mean() for one in scores[truth == 1] if _finds_half(scores, truth, one)))


def _finds_half(scores: NDArray[np.int64], truth: NDArray[np.int64], threshold: float) -> bool:
    return bool((scores[truth == 1] >= threshold).mean() >= 0.5)


def test_grades_of_known_scores() -> None:
    truth = np.repeat([0, 1], [100, 10])
    scores = np.concatenate([np.arange(100), np.full(5, 99.5), np.full(5, 97.5)]).astype(np.float64)
    assert recall_at(scores, truth, 0.01) == 0.5
    assert recall_at(scores, truth, 0.05) == 1.0
    assert alarms_at(scores, truth, 0.5) == 0.0
    assert alarms_at(scores, truth, 0.6) == pytest.approx(0.02)
    assert best_threshold(scores, truth) == 97.5
    assert grades(scores, truth, 97.0)["f1"] == pytest.approx(2 * 10 / (10 + 12))


def test_every_method_is_compared(ledgers: tuple[Ledger, Ledger]) -> None:
    real, dealt = ledgers
    runs = [compared(scored(real, dealt, (0.6, 1.0), 0, raw=True))]
    names = {entry.name: entry for entry in claims_of("60", runs, 0.5)}
    assert {f"60.{method}.recall5.over_{base}" for method, base in COMPARED} <= set(names)
    assert names["60.boosting.auc"].baseline == 0.5
    assert names["60.graph.recall5.over_alone"].goal == 27.0
    assert names["60.graph.alarms.over_alone"].goal == -35.0
    assert names["60.boosting_graph.auc"].value > 0.9 > names["60.amount.auc"].value


def test_boosting_learns_from_its_rows_alone(ledgers: tuple[Ledger, Ledger]) -> None:
    real, _ = ledgers
    train, test = real.parts((0.5, 1.0))
    labels = real.labels.copy()
    labels[test] = 1 - labels[test]
    np.testing.assert_array_equal(boosted(real, GRAPH, train, 0), boosted(Ledger(labels, real.figures), GRAPH, train, 0))
