"""How an institution says what the columns of its transactions are (``shared/data/ledger.py``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.frozen import Frozen

Role = Literal["source", "target", "location", "kind"]


class TransactionLinks(Frozen):
    """Which columns of a file of transactions name who pays (``source``) whom (``target``), where, of what ``kind``, when and how much.

    Rows of one institution are then linked by these ids, and a numeric column of the task that the file lacks is a figure of
    how an entity behaved before (``docs/knowledge.md``), such as ``source.total``, ``target.new`` or ``kind.in1000``, where 1000 is one of
    ``windows`` in units of ``time`` (seconds, where that holds dates). ``pairs`` of roles have figures too: ``target+kind.in1000``.
    """

    source: str
    target: str
    time: str
    amount: str
    location: str | None = None
    kind: str | None = None
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    pairs: tuple[tuple[Role, Role], ...] = ()
