"""The coordinator's only view of the network: ask institutions, get answers, absences and refusals.

Two implementations stand behind one contract test: Flower's grid (deployed, ``server/flower.py``) and the in-process
grid of ``fedstill/simulation.py``, which carries the same messages through real serialisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

MessageKind = Literal["open", "train", "agree", "unmask"]

MESSAGE_TYPES: dict[MessageKind, str] = {"open": "query.open", "train": "train", "agree": "query.agree", "unmask": "query.unmask"}
"""How Flower routes each kind. The content is a config record ``payload`` with the bytes ``header`` and, unless it is empty, ``blob``;
of more than :data:`LARGEST_WHOLE` bytes an array record ``payload`` with both as byte arrays. A refusal is a config record ``refusal``
with ``code`` and ``reason`` in its place."""
LARGEST_WHOLE = 256 * 1024
"""Bytes of a message that travels as one object. Flower cuts byte arrays into chunks, and sends the chunks of what many nodes get once;
but each object of a message is asked for by itself, and an array record has seven where this has three."""


@dataclass(frozen=True)
class Request:
    """One message to one institution: a small typed header and, where the header names its digest, a large blob.

    ``round`` is for logs and for the fault injection of simulations only; an institution trusts the signed header alone.
    """

    kind: MessageKind
    header: bytes
    blob: bytes = b""
    round: int = 0


@dataclass(frozen=True)
class Reply:
    """What an institution answered; ``header`` and ``blob`` as in :class:`Request`."""

    header: bytes
    blob: bytes = b""


@dataclass(frozen=True)
class Absent:
    """The institution did not answer within the deadline; ``reason`` is for operators to read."""

    reason: str


@dataclass(frozen=True)
class Refusal:
    """The institution answered that it will not: ``code`` names the error's class, ``reason`` is its sentence."""

    code: str
    reason: str


Answer = Reply | Absent | Refusal


Again = Callable[[str, Refusal], Request | None]
"""(institution, its refusal) → another request that it is to answer instead, or ``None``: the refusal stands."""


def never_again(_institution: str, _refusal: Refusal) -> None:
    """Every refusal stands."""


class Exchange(Protocol):
    """Asks institutions and yields each answer as it arrives. Every wait is bounded by ``deadline_s``."""

    def institutions(self) -> frozenset[str]:
        """The names of the institutions that can be reached now."""
        ...

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        """Sends every request and yields ``(institution, answer)`` exactly once for each, in order of arrival.

        A refusal for which ``again`` has another request is not yielded; that request is sent at once, within the same deadline.
        An institution that has not answered ``deadline_s`` seconds after the call is yielded as :class:`Absent`.
        """
        ...
