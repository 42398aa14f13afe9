"""Which columns of a file link its rows."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.transaction_links import TransactionLinks

LEAST: dict[str, Any] = {"source": "payer", "target": "payee", "time": "day", "amount": "sum", "windows": [3]}


def test_place_and_kind_may_be_left_out() -> None:
    made = TransactionLinks.model_validate(LEAST)
    assert (made.location, made.kind, made.windows, made.pairs) == (None, None, (3,), ())


@pytest.mark.parametrize(
    "wrong", [{"windows": []}, {"windows": [0]}, {"pairs": [["source", "payer"]]}, {"pairs": [["source"]]}, {"payer": "x"}]
)
def test_what_links_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TransactionLinks.model_validate(LEAST | wrong)
