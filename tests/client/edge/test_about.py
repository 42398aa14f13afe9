"""What a model says of itself is what its signed manifest says, and what it has been given is beside what it learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.edge.about import describe, provenance_digest
from client.edge.drift import BLOCK
from client.edge.model import ServedModel
from shared.compress.verify import open_artifact
from tests.support.edge import CATEGORIES, IMAGES, PUBLIC, SEEN, TABLE, make_artifact, table_rows

JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=4))


def served(folder: Path, **changed: Any) -> ServedModel:
    return ServedModel(open_artifact(make_artifact(folder, **changed), PUBLIC), since=12.5)


def test_everything_comes_from_the_manifest(tmp_path: Path) -> None:
    model = served(tmp_path / "a", version=7)
    found = describe(model, "the newer one is damaged")
    assert (found.version, found.digest, found.signer) == (7, model.artifact.digest, PUBLIC.hex())
    assert (found.serving_since, found.refused) == (12.5, "the newer one is damaged")
    assert (found.family, tuple(found.labels), found.run) == ("tabular", TABLE.labels, "run-7")
    assert [(column.name, column.kind, tuple(column.categories)) for column in found.inputs.columns] == [
        ("age", "numeric", ()),
        ("dose", "numeric", ()),
        ("risk", "categorical", CATEGORIES),
    ]
    assert (found.gate.records, found.gate.accuracy, found.gate.float_accuracy, found.gate.agreement) == pytest.approx((10, 0.8, 0.9, 0.9))
    assert found.provenance_digest == provenance_digest(model.artifact.manifest["provenance"])


def test_images_have_no_columns(tmp_path: Path) -> None:
    found = describe(served(tmp_path / "a", task=IMAGES), "")
    assert (found.family, list(found.inputs.columns), found.refused) == ("image", [], "")
    assert list(found.inputs.shape)[-3:] == [4, 4, 1]


def test_what_was_given_is_shown_by_whole_blocks_beside_the_training(tmp_path: Path) -> None:
    model, rows = served(tmp_path / "a"), table_rows(BLOCK)
    model.logits(rows[:5])
    assert all(one.count == 0 for one in describe(model, "").inputs_seen), "five records are nobody's to see"
    model.logits(rows[5:])
    age, _, risk = describe(model, "").inputs_seen
    known = rows[:, 0][~np.isnan(rows[:, 0])]
    assert age.count == len(known)
    assert age.mean == pytest.approx(known.mean(), rel=1e-5)
    assert age.mean_difference == pytest.approx((known.mean() - SEEN.means[0]) / SEEN.deviations[0], rel=1e-4)
    assert sum(risk.category_shares.values()) == pytest.approx(1.0)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_a_provenance_s_name_does_not_depend_on_the_order_of_its_keys(came: dict[str, Any]) -> None:
    assert provenance_digest(came) == provenance_digest(dict(reversed(came.items())))
    assert provenance_digest(came) != provenance_digest({**came, "one key more": 1})
