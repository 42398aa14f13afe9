"""The seam between any large model and the student: what it shows of each record, and a name for exactly that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shared.data.records import Records
from shared.models.features import Features


class Teacher(Protocol):
    """Whatever can say what it thinks of records. It is asked for each record once, then its targets are cached."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the weights and everything that turns a record into the teacher's input."""
        ...

    @property
    def layers(self) -> int:
        """How many blocks it can show (``len(hidden_states) - 1``); 0 for a teacher that shows its output alone."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers it has learnt; of trees their leaves; 0 where its file does not tell."""
        ...

    def longest(self, records: Records) -> int:
        """Tokens of the longest of these records, as this teacher reads them; 0 where every record has the same number.

        Padded features of any batch of them can be cut or filled up to this length.
        """
        ...

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """Features of a small batch, without gradient, outside training mode, on the CPU in float32.

        ``hidden`` are the wanted places in ``0..layers``, ``attentions`` those in ``1..layers``; the features' tuples hold only
        these, in that order. A teacher of texts that reads with another tokeniser than the task's shows each state averaged over its
        own tokens, ``(batch, 1, width)``, without a mask, and no attentions.
        """
        ...
