from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.errors import LostEpoch
from shared.secagg.state import pack, unpack
from tests.support.secagg import Federation


def states() -> list[bytes]:
    """The state of one institution after every step of a round."""
    federation = Federation()
    ash, kept = federation.institutions["ash"], []
    kept.append(ash.export())
    made = federation.masked(federation.plan(), lost=["elm"])
    kept.append(ash.export())
    federation.agree(made)
    kept.append(ash.export())
    federation.unmask(made)
    kept.append(ash.export())
    return kept


STATES = states()


@pytest.mark.parametrize("state", STATES)
def test_a_state_survives_its_bytes(state: bytes) -> None:
    assert pack(unpack(state)) == state


def test_the_steps_have_different_states() -> None:
    assert len(set(STATES)) == len(STATES)


@given(st.binary(max_size=60) | st.sampled_from(["{}", "[]", "3", "null", '"x"', '{"format": 1}', "[" * 500]).map(str.encode))
def test_garbage_is_a_lost_epoch(content: bytes) -> None:
    with pytest.raises(LostEpoch, match="a new epoch must be opened"):
        unpack(content)


@given(st.sampled_from(STATES), st.data())
def test_a_field_of_another_kind_is_a_lost_epoch(state: bytes, data: Any) -> None:
    fields = json.loads(state)
    name = data.draw(st.sampled_from(sorted(set(fields) - {"ratchet", "secrets"})))
    fields[name] = data.draw(st.sampled_from([None, [1], {"x": 1}, "zz", {"keys": 3}]))
    if name == "peers" and fields[name] == {"x": 1}:
        return
    with pytest.raises(LostEpoch):
        unpack(json.dumps(fields).encode())
