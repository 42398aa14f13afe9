"""An artifact of several heads: gated, described and asked head by head."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from shared.compress import console
from shared.compress.card import render
from shared.compress.export import export_float
from shared.compress.gate import gate_counts
from shared.compress.manifest import Manifest
from shared.compress.verify import Artifact
from shared.errors import DataError
from shared.heads import answers
from shared.models.network import predict_logits
from tests.support.heads import HEADS, TABLES, records
from tests.support.networks import network

SITE = records(TABLES, seed=3)


@pytest.fixture(scope="module")
def model() -> bytes:
    return export_float(network(TABLES), TABLES)


@pytest.fixture
def artifact(model: bytes, manifest: Manifest) -> Artifact:
    content = manifest.model_copy(update={"task": TABLES}).model_dump(mode="json")
    content["inputs"] = {"dtype": "float32", "shape": [4], "preprocessing": "inside the graph"}
    return Artifact(content, model, bytes(32))


def test_the_gate_counts_within_heads(model: bytes) -> None:
    logits = predict_logits(network(TABLES), SITE.inputs)
    right = answers(logits, SITE.labels, HEADS) == SITE.labels
    found = gate_counts(model, {"same": model}, SITE, HEADS)
    assert found["gate_float_right"].tolist() == found["gate_right"].tolist() == [right.sum()]
    assert found["gate_agree"].tolist() == [len(SITE)]
    # Many a record has a label of another head for its likeliest: that is no matter.
    assert right.sum() > gate_counts(model, {}, SITE)["gate_float_right"][0]


def test_the_gate_s_counts_of_plants_add_up(model: bytes) -> None:
    whole = gate_counts(model, {"same": model}, SITE, HEADS)
    own = np.isin(SITE.labels, [3, 4])
    parts = [
        gate_counts(model, {"same": model}, SimpleNamespace(inputs=SITE.inputs[part], labels=SITE.labels[part]), HEADS)
        for part in (own, ~own)
    ]
    for name, counts in whole.items():
        assert (sum(part[name] for part in parts) == counts).all()


def test_an_answer_within_a_head_has_its_labels_alone(artifact: Artifact) -> None:
    found = artifact.predict(SITE.inputs, "pqr")
    assert set(found.labels.tolist()) <= {5, 6, 7}
    np.testing.assert_allclose(found.probabilities[:, 5:].sum(axis=1), 1.0, rtol=1e-5)
    assert not found.probabilities[:, :5].any()
    whole = artifact.predict(SITE.inputs).probabilities
    np.testing.assert_allclose(found.probabilities[:, 5:], whole[:, 5:] / whole[:, 5:].sum(axis=1, keepdims=True), rtol=1e-4)


def test_a_head_that_is_not_there_is_named_with_those_that_are(artifact: Artifact) -> None:
    with pytest.raises(DataError, match="no head 'steel'; its heads are: abc, xy, pqr"):
        artifact.predict(SITE.inputs, "steel")
    artifact.manifest["task"].pop("heads")
    with pytest.raises(DataError, match="its heads are: none"):
        artifact.predict(SITE.inputs, "xy")


def test_the_console_lists_heads_and_answers_within_one(artifact: Artifact) -> None:
    assert [text for name, text in console.facts(artifact) if name == "head"] == ["abc: a, b, c", "xy: x, y", "pqr: p, q, r"]
    content = json.dumps([[1.0, "a", 2.0, "left"], [None, "c", 7.0, "right"]]).encode()
    assert {tuple(entry["probabilities"]) for entry in console.predictions(artifact, content, "xy")} == {("x", "y")}
    assert len(console.predictions(artifact, content)[0]["probabilities"]) == 8


def test_the_card_lists_heads(manifest: Manifest) -> None:
    card = render(manifest.model_copy(update={"task": TABLES}), 1)
    assert "within one of its heads:\n\n- abc: `a`, `b`, `c`\n- xy: `x`, `y`" in card


def test_without_a_head_all_labels_may_be_the_answer(artifact: Artifact) -> None:
    assert (artifact.predict(SITE.inputs).labels == artifact.logits(SITE.inputs).argmax(axis=1)).all()
