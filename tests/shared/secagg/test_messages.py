"""Messages of the protocol are values: what was signed cannot be changed afterwards, and equal ones are equal on the wire."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from shared.rpc.codec import from_wire, to_wire
from shared.secagg import messages
from shared.secagg.messages import Layout, Plan, TrainRequest
from tests.support.secagg import Federation

KINDS = [kind for _, kind in inspect.getmembers(messages, dataclasses.is_dataclass) if kind.__module__ == messages.__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_is_frozen(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def plan() -> Plan:
    return Federation().plan(layout=Layout(7, 3, 16))


CHANGES = {
    field.name: value
    for field, value in (
        (field, {"str": "other", "int": 9, "float": 0.5, "bool": True, "bytes": b"o" * 32}.get(str(field.type)))
        for field in dataclasses.fields(Plan)
    )
    if value is not None
}


def test_most_fields_of_a_plan_are_tried() -> None:
    assert {"run", "round", "roster_digest", "body", "noise", "rotation", "smallest_cohort"} <= set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_no_field_of_a_plan_is_lost_on_the_wire(name: str) -> None:
    own = plan()
    changed = dataclasses.replace(own, **{name: CHANGES[name]})
    assert from_wire(TrainRequest, to_wire(TrainRequest(changed))).plan == changed
    assert (to_wire(TrainRequest(changed)) == to_wire(TrainRequest(own))) == (changed == own)
