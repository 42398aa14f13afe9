from __future__ import annotations

import numpy as np
import pytest

from shared.data.heart import TASK, read_heart
from shared.data.records import UNLABELLED, Records
from shared.knowledge.heart import MAPPING, read_heart_graph
from shared.knowledge.tabular import TabularKnowledge, tabular_knowledge
from shared.knowledge.teaching import imagined
from shared.settings import KnowledgeTerms

CLEVELAND = read_heart()["cleveland"]
HUNGARY = read_heart()["hungary"]


def knowledge(records: Records = CLEVELAND) -> TabularKnowledge:
    return tabular_knowledge(read_heart_graph(), MAPPING, TASK, records)


def random() -> np.random.Generator:
    return np.random.default_rng(5)


def probabilities(table: np.ndarray) -> np.ndarray:
    shown: np.ndarray = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    return shown


def test_imagined_records_weigh_as_much_as_the_labels_bear_the_graph_out() -> None:
    made = knowledge()
    found = imagined(made, KnowledgeTerms(weight=3.0, pool=300, imagined=7), CLEVELAND.labels, random())
    assert found is not None
    assert (found.weight, found.batch, found.even) == (pytest.approx(3.0 * made.trust), 7, False)
    assert found.inputs.shape == (300, len(TASK.columns))
    np.testing.assert_allclose(np.exp(found.table).sum(axis=1), 1.0, rtol=1e-5)


def test_a_graph_that_no_label_bears_out_and_a_weight_of_nothing_teach_nothing() -> None:
    blind = Records(CLEVELAND.inputs, np.full_like(CLEVELAND.labels, UNLABELLED))
    assert imagined(knowledge(blind), KnowledgeTerms(), blind.labels, random()) is None
    assert imagined(knowledge(), KnowledgeTerms(weight=0.0), CLEVELAND.labels, random()) is None


def test_classes_are_imagined_by_their_shares_or_evenly() -> None:
    rare = np.flatnonzero(CLEVELAND.labels == 1)[:20]
    records = CLEVELAND.take(np.concatenate([np.flatnonzero(CLEVELAND.labels == 0), rare]))
    made = knowledge(records)
    shares, even = (
        imagined(made, KnowledgeTerms.model_validate({"pool": 4000, "classes": classes}), records.labels, random())
        for classes in ("shares", "even")
    )
    assert shares is not None
    assert even is not None
    assert even.even
    assert not shares.even
    ill = (records.labels == 1).mean()
    assert probabilities(shares.table)[:, 1].mean() == pytest.approx(ill, abs=0.03)
    assert probabilities(even.table)[:, 1].mean() == pytest.approx(0.5, abs=0.03)


def test_label_shares_that_are_taken_out_of_the_lessons_are_out_of_what_is_imagined() -> None:
    records = CLEVELAND.take(np.argsort(CLEVELAND.labels, kind="stable")[:200])
    terms, made = KnowledgeTerms(pool=4000), knowledge(records)
    for correction, expected in ((0.0, (records.labels == 1).mean()), (1.0, 0.7)):
        found = imagined(made, terms, records.labels, random(), label_shares=(0.3, 0.7), label_correction=correction)
        assert found is not None
        assert probabilities(found.table)[:, 1].mean() == pytest.approx(expected, abs=0.03)


def test_what_records_miss_is_missing_in_imagined_ones_too() -> None:
    # Hungary's hospital hardly ever looked at the vessels.
    found = imagined(knowledge(HUNGARY), KnowledgeTerms(pool=2000), HUNGARY.labels, random())
    assert found is not None
    np.testing.assert_allclose(np.isnan(found.inputs).mean(axis=0), np.isnan(HUNGARY.inputs).mean(axis=0), atol=0.05)
