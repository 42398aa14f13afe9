"""What an institution lets leave of heads, by what the plan says of their owners and what its own records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.lone_heads import check_own, check_owners
from shared.config import InstitutionConfig
from shared.errors import PolicyRefusal
from shared.settings import DistillationSettings, TrainingSettings
from shared.work import Normalisation, StatisticsRangeWork, TrainWork, counter_fields, field_slices
from tests.support.headed import ALONE, SHARED, TASK, headed_workbench, make_headed
from tests.support.small import NAMES, digest_of


def work(**owners: tuple[str, ...]) -> TrainWork:
    return TrainWork(
        version=0,
        seed=1,
        normalisation=Normalisation(),
        training=TrainingSettings(),
        distillation=DistillationSettings(),
        head_owners=owners,
    )


def config(name: str = "ash", task: Any = TASK, **policy: Any) -> InstitutionConfig:
    data = {"source": "arrays", "path": "records.npz"}
    return InstitutionConfig.model_validate({"name": name, "task": task, "data": data, "policy": policy})


def counters(*weights: int) -> Any:
    fields = counter_fields(work(), config().task)
    found = np.full(sum(field.length for field in fields), 5, np.int64)
    found[dict(field_slices(fields))["head_weights"]] = weights
    return found


def test_where_enough_have_its_heads_nothing_is_refused() -> None:
    check_owners(config(), work(**SHARED), NAMES, 4)
    check_own(config(), work(**SHARED), counters(20, 0, 0), 4)
    check_own(config("cedar"), work(**SHARED), counters(20, 20, 20), 4)
    # Of a head that others have alone, they speak for themselves.
    check_owners(config("birch"), work(**ALONE), NAMES, 4)


@pytest.mark.parametrize(
    ("owners", "present", "said"),
    [
        ({}, NAMES, "does not say which institutions have records of each head"),
        (ALONE, NAMES, "1 of the institutions have records of head 'one', below its own smallest cohort 3"),
        (SHARED, ("ash", "birch", "elm", "fir"), "2 of the institutions have records of head 'one'"),
        ({"one": ("ash", "ash", "ash")}, NAMES, "1 of the institutions"),
        ({"one": ("ash", "nobody", "none")}, NAMES, "1 of the institutions"),
    ],
)
def test_too_few_are_refused_unless_its_operator_allows_it(owners: dict[str, Any], present: tuple[str, ...], said: str) -> None:
    with pytest.raises(PolicyRefusal, match=f"^institution 'ash' refused round 4: .*{said}"):
        check_owners(config(), work(**owners), present, 4)
    check_owners(config(lone_heads=True), work(**owners), present, 4)


def test_only_training_and_only_heads_are_looked_at() -> None:
    check_owners(config(), StatisticsRangeWork(), NAMES, 1)
    check_own(config(), StatisticsRangeWork(), np.zeros(0, np.int64), 1)
    plain = config(task={key: value for key, value in TASK.items() if key != "heads"})
    check_owners(plain, work(), NAMES, 1)
    check_own(plain, work(), np.zeros(0, np.int64), 1)


def test_what_the_plan_says_of_it_is_what_its_records_say() -> None:
    with pytest.raises(PolicyRefusal, match="names it for head 'one', of which it has no records"):
        check_own(config(lone_heads=True), work(**SHARED), counters(0, 0, 0), 4)
    with pytest.raises(PolicyRefusal, match="has records of head 'two', but head_owners does not name it there"):
        check_own(config(), work(**SHARED), counters(20, 7, 0), 4)
    check_own(config(lone_heads=True), work(**SHARED), counters(20, 7, 0), 4)


def test_a_run_over_heads_that_enough_have_needs_no_permission(tmp_path: Path) -> None:
    from client.app import make_app

    app = make_app(headed_workbench(SHARED))
    strict = digest_of(make_headed(tmp_path / "strict").run(client_app=app))
    assert strict == digest_of(make_headed(tmp_path / "lax", lone_heads=True).run(client_app=app))
