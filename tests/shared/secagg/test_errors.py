"""Every refusal of the protocol is one of its own kinds, and the list at the top of the module names them all."""

from __future__ import annotations

import inspect
import re

import pytest

from shared.errors import ProtocolError
from shared.secagg import errors

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


def test_the_list_names_all_and_no_other() -> None:
    assert errors.__doc__ is not None
    assert sorted(re.findall(r"[├└]── (\w+)", errors.__doc__)) == sorted(kind.__name__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_refused_with_the_protocol_s_exit_code_and_keeps_its_sentence(kind: type[ProtocolError]) -> None:
    error = kind("who and why")
    assert isinstance(error, ProtocolError)
    assert error.exit_code == ProtocolError.exit_code
    assert str(error) == "who and why"
