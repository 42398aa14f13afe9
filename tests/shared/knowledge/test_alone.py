from __future__ import annotations

from pathlib import Path

import numpy as np

from fedstill.plan import builtin_federation
from shared.config import KnowledgeSettings
from shared.data.heart import read_heart
from shared.distill.alone import distil_alone
from shared.knowledge.alone import taught_alone
from shared.models import to_vector

RECORDS = read_heart()["cleveland"]
HEART = builtin_federation("heart")


def test_the_public_graph_teaches_and_no_graph_teaches_nothing() -> None:
    found, known = taught_alone(HEART, RECORDS, 3)
    assert [one.name for one in found] == ["imagined"]
    assert known is None
    same, _ = taught_alone(HEART, RECORDS, 3)
    np.testing.assert_array_equal(found[0].inputs, same[0].inputs)
    for knowledge in (None, KnowledgeSettings()):
        assert taught_alone(HEART.model_copy(update={"knowledge": knowledge}), RECORDS, 3) == ([], None)


def test_a_student_alone_learns_from_it(tmp_path: Path) -> None:
    students = [
        distil_alone(RECORDS, HEART.model_copy(update={"knowledge": knowledge}), None, epochs=1, seed=1)[0]
        for knowledge in (HEART.knowledge, None)
    ]
    assert to_vector(students[0]).tobytes() != to_vector(students[1]).tobytes()
