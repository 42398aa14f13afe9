"""The coordinator's own student: what all answered is what it answers, whatever shapes the institutions' students have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.answers import bounded
from shared.config import FederationConfig
from shared.distill.from_consensus import student_of_consensus
from shared.models import build, predict, to_vector
from shared.models.network import predict_logits
from tests.support.networks import LARGE, TABLE, inputs, network, normalisation


def config(**changed: Any) -> FederationConfig:
    proxy = {"source": "generated", "records": 60, "epochs": 60, **changed.pop("proxy", {})}
    table = {"name": "trial", "task": TABLE, "student": {"width": 8, "depth": 1}, "proxy": proxy, "training": {"learning_rate": 1e-2}}
    return FederationConfig.model_validate({**table, **changed})


def test_it_learns_what_a_larger_one_answers_and_repeats_to_the_bit() -> None:
    raw = inputs(TABLE, 60, seed=2)
    table = bounded(40 * predict_logits(network(TABLE, LARGE, seed=9), raw), 8.0)
    student = student_of_consensus(config(), normalisation(TABLE), raw, table)
    assert np.mean(predict(student, raw) == table.argmax(axis=1)) > 0.9
    assert student.normalisation == normalisation(TABLE)
    assert to_vector(student).tobytes() == to_vector(student_of_consensus(config(), normalisation(TABLE), raw, table)).tobytes()
    untaught = build(config().student, TABLE, normalisation(TABLE), seed=config().seed)
    assert np.mean(predict(untaught, raw) == table.argmax(axis=1)) < 0.9


def test_patience_needs_labels_that_nobody_s_records_have() -> None:
    raw = inputs(TABLE, 60, seed=2)
    table = np.zeros((60, 2), np.float32)
    patient = config(training={"patience": 1}, proxy={"epochs": 2})
    plain = config(training={"patience": 0}, proxy={"epochs": 2})
    one, other = (student_of_consensus(each, normalisation(TABLE), raw, table) for each in (patient, plain))
    assert to_vector(one).tobytes() == to_vector(other).tobytes()


def test_a_federation_of_weights_has_no_consensus() -> None:
    with pytest.raises(ValueError, match="only a federation with \\[proxy\\]"):
        student_of_consensus(
            config().model_copy(update={"proxy": None}), normalisation(TABLE), inputs(TABLE, 2), np.zeros((2, 2), np.float32)
        )
