"""A round's record comes back from the store's JSON as it went in, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from server.records import RoundRecord

NAMES = st.text(min_size=1, max_size=12)
COUNTS = st.integers(0, 2**63)
RECORDS = st.builds(
    RoundRecord,
    number=COUNTS,
    phase=NAMES,
    training_round=st.none() | COUNTS,
    status=st.sampled_from(["open", "closed", "void"]),
    cohort=st.lists(NAMES, max_size=4).map(tuple),
    absent=st.dictionaries(NAMES, st.text(), max_size=3),
    lost_epoch=st.lists(NAMES, max_size=2).map(tuple),
    doubted=st.lists(st.tuples(NAMES, NAMES), max_size=2).map(tuple),
    reason=st.text(),
    rho=st.floats(0, 1e9),
    bytes_up=st.dictionaries(NAMES, COUNTS, max_size=3),
    seconds=st.dictionaries(NAMES, st.floats(0, 1e9), max_size=3),
    counters=st.dictionaries(NAMES, st.lists(COUNTS, max_size=3).map(tuple), max_size=3),
    metrics=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)


@given(RECORDS)
def test_a_record_survives_the_store_s_json(record: RoundRecord) -> None:
    assert RoundRecord.model_validate(json.loads(json.dumps(record.model_dump(mode="json")))) == record
    assert RoundRecord.parse(record.canonical()) == record


@pytest.mark.parametrize(
    "change",
    [
        {"status": "half-closed"},
        {"number": None},
        {"number": 1.5},
        {"counters": {"eval_records": [0.5]}},
        {"metrics": {"accuracy": float("nan")}},
        {"rho": float("inf")},
        {"doubted": [["ash"]]},
        {"bytes_up": {"ash": "many"}},
        {"weights_of_ash": [0.1]},
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, object]) -> None:
    whole = RoundRecord(number=1, phase="train").model_dump(mode="json")
    with pytest.raises(ValidationError):
        RoundRecord.model_validate(whole | change)


def test_a_record_is_replaced_and_never_changed() -> None:
    record = RoundRecord(number=1, phase="train")
    with pytest.raises(ValidationError):
        record.status = "closed"  # type: ignore[misc]
