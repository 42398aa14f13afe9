"""The proxy set of a round as an institution opens it: sent or drawn, it is the one that the plan names, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load

from client.proxy import open_proxy
from shared.answers import bounded, consensus_blob, flattened, inputs_digest, table_of
from shared.data.proxy import generated_proxy
from shared.errors import NotFiniteError, ProtocolError
from tests.client.test_answers import COUNT, answer_work, blob, public
from tests.support.networks import TABLE, normalisation


def test_sent_records_and_consensus_come_back() -> None:
    found = open_proxy(answer_work(), load(blob(value=3.0)), TABLE)
    assert found.inputs.tobytes() == public(TABLE).tobytes()
    np.testing.assert_allclose(found.table, np.tile([1.5, -1.5], (COUNT, 1)), rtol=1e-6)


def test_drawn_records_need_no_more_than_the_plan() -> None:
    rows = generated_proxy(TABLE, normalisation(TABLE), COUNT, 0.25, seed=7)
    work = answer_work(generated=True, missing=0.25, proxy_sha256=inputs_digest(rows))
    found = open_proxy(work, {"vector": np.zeros(2 * COUNT, np.float32)}, TABLE)
    assert found.inputs.tobytes() == rows.tobytes()
    with pytest.raises(ProtocolError, match="generated here are not those that the plan names"):
        open_proxy(work.model_copy(update={"missing": 0.5}), {"vector": np.zeros(2 * COUNT, np.float32)}, TABLE)


def test_the_consensus_and_the_update_are_the_bounded_answers() -> None:
    found = open_proxy(answer_work(version=1), load(blob(value=3.0)), TABLE)
    logits = np.random.default_rng(1).normal(0, 9, (COUNT, 2)).astype(np.float32)
    np.testing.assert_allclose(table_of(found.vector + found.update(logits, 4.0), 2), bounded(logits, 4.0), atol=1e-5)
    assert np.linalg.norm(found.update(found.table, 4.0)) == pytest.approx(0.0, abs=1e-6), "who agrees moves nothing"


def test_a_blob_without_a_consensus_or_of_another_type_is_refused() -> None:
    wide = np.zeros(2 * COUNT)
    for tensors, what in (({}, "but none came"), ({"vector": wide}, r"but float64 \(24,\) came")):
        with pytest.raises(ProtocolError, match=what):
            open_proxy(answer_work(), tensors, TABLE)
    with pytest.raises(NotFiniteError, match="a NaN or an infinity"):
        open_proxy(answer_work(), load(consensus_blob(flattened(np.full((COUNT, 2), np.inf, np.float32)), public(TABLE))), TABLE)
