from __future__ import annotations

import numpy as np
import pytest

from fedstill.compressing.quantising import calibrated, figures_of, judged, right_of
from shared.compress.calibrate import calibrated_tensors
from shared.compress.cost import Times
from shared.compress.export import export_float
from shared.compress.gate import Allowed
from shared.compress.quantise import quantise
from shared.errors import ArtifactError
from tests.support.networks import IMAGES, TABLE, TEXTS, network, records


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS], ids=["table", "images", "texts"])
def test_every_tensor_gets_a_range_with_zero_in_it(task):
    content = export_float(network(task), task)
    found = calibrated(content, records(task, 20), task)
    assert set(found) == set(calibrated_tensors(content))
    assert all(low <= 0 <= high and low < high for low, high in found.values())


@pytest.fixture(scope="module")
def verdict():
    content = export_float(network(), TABLE)
    files = {"u8s8-7bit": quantise(content, calibrated(content, records(count=60), TABLE), "u8s8-7bit")}
    held_out = records(count=50, seed=3)
    return content, held_out, judged(content, files, held_out, TABLE, Allowed(1.0), lambda file: Times(float(len(file))))


def test_the_gate_counts_here_and_says_so(verdict):
    content, held_out, found = verdict
    assert found.result.records == 50
    assert found.result.masked is False
    assert found.result.float_right == right_of(content, held_out, TABLE)
    assert found.result.won.right == right_of(found.winner, held_out, TABLE)


def test_figures_are_those_of_the_gate(verdict):
    _, held_out, found = verdict
    (figures,) = figures_of(found, held_out.inputs, lambda content, inputs: 0.002)
    assert figures.signed
    assert figures.here_ms == 2.0
    assert figures.accuracy == found.result.won.right / 50
    assert figures.int8["MatMul"] > 0


def test_what_is_slower_than_the_student_that_came_in_is_refused(verdict):
    content, held_out, found = verdict
    with pytest.raises(ArtifactError, match="where float takes"):
        judged(content, found.files, held_out, TABLE, Allowed(1.0), lambda file: Times(1.0 if file == content else 2.0))


def test_right_answers_are_counted():
    content, given = export_float(network(), TABLE), records(count=30)
    flipped = type(given)(given.inputs, 1 - given.labels)
    assert right_of(content, given, TABLE) + right_of(content, flipped, TABLE) == 30
    assert np.unique(given.labels).tolist() == [0, 1]
