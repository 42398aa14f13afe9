from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.errors import KnowledgeError
from shared.knowledge.evidence import MISSING, Groups, Manner, likelihoods, log_evidence, typical
from shared.knowledge.triples import graph_of

GROUPS = Groups(("fever", "colour"), (("no fever", "fever"), ("red", None, "blue")))
GRAPH = graph_of(
    [("flu", "shows", "fever", 1.0), ("rash", "shows", "red", 1.0), ("rash", "shows", "blue", 1.0), ("flu", "kind", "rash", 1.0)]
)
FINDINGS = arrays(np.int64, st.tuples(st.integers(0, 20), st.just(2)), elements=st.integers(-1, 1))
HELD = arrays(np.bool_, (3, 2, 3))


def test_typical_follows_hops_and_relations() -> None:
    near = typical(GRAPH, ("flu", "rash", None), GROUPS, ["shows"])
    assert near.astype(int).tolist() == [[[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    far = typical(GRAPH, ("flu",), GROUPS, hops=2)
    assert far.astype(int).tolist() == [[[0, 1, 0], [1, 0, 1]]]
    with pytest.raises(KnowledgeError, match="'plague' is not in the graph"):
        typical(GRAPH, ("plague",), GROUPS)
    with pytest.raises(KnowledgeError, match="no relation 'cures'"):
        typical(GRAPH, ("flu",), GROUPS, ["cures"])


@given(FINDINGS, HELD, st.floats(0.05, 0.95), st.sampled_from(["share", "odds"]))
def test_likelihoods_are_probabilities_and_what_is_typical_never_speaks_against(
    findings: np.ndarray, held: np.ndarray, hold: float, manner: Manner
) -> None:
    marginals = GROUPS.marginals(findings)
    np.testing.assert_allclose(marginals.sum(axis=1), 1.0)
    held = held & (marginals > 0)
    found = likelihoods(held, marginals, hold, manner)
    np.testing.assert_allclose(found.sum(axis=2), 1.0)
    assert (((found - marginals) * held).sum(axis=2) >= -1e-3).all()
    assert (found[:, 0, 2] == 0).all()


def test_a_class_shows_its_typical_alternatives_with_the_share_and_others_as_all_records_do() -> None:
    marginals = np.array([[0.8, 0.2, 0.0], [0.3, 0.5, 0.2]])
    held = typical(GRAPH, ("flu", "rash"), GROUPS)
    found = likelihoods(held, marginals, 0.6)
    np.testing.assert_allclose(found[0], [[0.4, 0.6, 0.0], marginals[1]], rtol=1e-6)
    np.testing.assert_allclose(found[1], [marginals[0], [0.36, 0.4, 0.24]], rtol=1e-6)
    common = likelihoods(held, marginals, 0.1)
    np.testing.assert_allclose(common[1], marginals, rtol=1e-6)


def test_odds_are_those_of_all_records_times_a_factor() -> None:
    found = likelihoods(np.array([[[True, False]]]), np.array([[0.2, 0.8]]), 0.5, "odds")
    np.testing.assert_allclose(found[0, 0, 0] / found[0, 0, 1], 4 * 0.2 / 0.8)


def test_a_whole_group_of_typical_alternatives_tells_nothing() -> None:
    marginals = np.array([[0.7, 0.3]])
    np.testing.assert_allclose(likelihoods(np.array([[[True, True]]]), marginals, 0.5), marginals[None])


@given(FINDINGS, HELD)
def test_evidence_adds_up_over_groups_and_a_missing_finding_adds_nothing(findings: np.ndarray, held: np.ndarray) -> None:
    marginals = GROUPS.marginals(findings)
    found = likelihoods(held & (marginals > 0), marginals, 0.7)
    whole = log_evidence(found, findings)
    alone = []
    for place in range(2):
        masked = np.full_like(findings, MISSING)
        masked[:, place] = findings[:, place]
        alone.append(log_evidence(found, masked))
    np.testing.assert_allclose(whole, alone[0] + alone[1])
    assert not log_evidence(found, np.full_like(findings, MISSING)).any()
    for record, row in zip(findings, whole, strict=True):
        expected = [sum(np.log(found[c, g, s]) for g, s in enumerate(record) if s != MISSING) for c in range(3)]
        np.testing.assert_allclose(row, expected)
