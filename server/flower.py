"""The coordinator's side of Flower: an :class:`~shared.exchange.Exchange` over any Flower grid, deployed or in-process.

Flower's own ``send_and_receive`` sleeps 3 s between two looks; this one looks as often as it is told. An answer of
Flower's own (a node went away, a message expired) is not an institution's: within ``patience_s`` the same request is sent
again once the node is back, which is safe because an institution gives the identical request its stored answer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import uvicorn
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.inflatable import inflatable_utils

from server.stopping import StopSignal
from shared.exchange import LARGEST_WHOLE, MESSAGE_TYPES, Absent, Again, Answer, Refusal, Reply, Request, never_again

LOST_CODES = {
    ErrorCode.MESSAGE_UNAVAILABLE: "the message was lost on its way",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "its answer was lost on its way",
    ErrorCode.NODE_UNAVAILABLE: "its node went away",
    ErrorCode.CLIENT_APP_CRASHED: "its worker died",
    ErrorCode.LOAD_CLIENT_APP_EXCEPTION: "its worker could not start",
}
"""Flower errors after which asking again may help, in plain words."""
ONLINE = frozenset({"", "online"})
"""States in which Flower can reach a node; the in-process grid names none."""
LONGEST_SENTENCE = 1000
"""Characters of an institution's refusal that are kept."""
MOST_SENDS = 5
"""A request is sent to one node at most this often."""
PULL_BACKOFF_S = 0.05
"""First wait for an object that is announced and not there yet; Flower's own is 1 s."""
RETRY_S = 1.0
"""Seconds between two looks whether a node that went away is back."""
STUMBLE_S = 60.0
"""Seconds for which SuperLink may answer with errors of its own, as one does that is just being ended; then they are believed. Flower
itself asks again only where nobody listens."""
SUPERLINK = "flower-superlink"
"""The word by which this module's command line runs a SuperLink."""
END_S = 3
"""Seconds that a SuperLink which is told to end waits for what is open."""
BUSY_TIMEOUT_MS = 120_000
"""Milliseconds for which a SuperLink's request waits for another one that writes to its database; Flower's own are 5,000."""

_Answered = TypeVar("_Answered")


@dataclass
class _Pending:
    institution: str
    request: Request
    sends: int = 0
    try_at: float = 0.0
    message: str | None = None
    lost_at: float | None = None
    reason: str = "it could not be reached"


class GridExchange:
    """Asks institutions over a Flower grid. A node is the institution whose name it was registered with.

    The mapping only routes: who really answered is proven by the signatures inside the answers.
    """

    def __init__(
        self,
        grid: Grid,
        members: frozenset[str],
        *,
        poll_s: float = 0.1,
        patience_s: float = 0.0,
        stop: StopSignal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``members`` are the roster's names; ``patience_s`` is how long a node that went away may stay away."""
        self._grid = grid
        self._members = members
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._stop = stop or StopSignal()
        self._clock = clock

    def institutions(self) -> frozenset[str]:
        """The members whose node is online now."""
        return frozenset(self._nodes())

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        """As :meth:`shared.exchange.Exchange.ask`; raises :class:`~server.stopping.Interrupted` when asked to stop."""
        begun = self._clock()
        end = begun + deadline_s
        waiting = {name: _Pending(name, request) for name, request in requests.items()}
        while waiting:
            self._stop.check()
            self._send(waiting, end - self._clock())
            for name, answer in self._collect(waiting):
                following = again(name, answer) if isinstance(answer, Refusal) else None
                if following is not None:
                    waiting[name] = _Pending(name, following)
                    continue
                del waiting[name]
                yield name, answer
            if waiting and self._clock() >= end:
                break
            if waiting:
                self._stop.wait(pause(self._clock() - begun, self._poll_s))
        for name, pending in waiting.items():
            yield name, Absent(f"no answer within {deadline_s:g} s" if pending.message else pending.reason)

    def _nodes(self) -> dict[str, int]:
        nodes = self._patiently(lambda: list(self._grid.get_nodes()))
        return {node.name: node.node_id for node in nodes if node.name in self._members and node.status in ONLINE}

    def _patiently(self, call: Callable[[], _Answered]) -> _Answered:
        """What ``call`` gives, tried again while SuperLink fails (status 500 and above), for :data:`STUMBLE_S`."""
        end = self._clock() + STUMBLE_S
        while True:
            try:
                return call()
            except httpx.HTTPStatusError as error:
                if not error.response.is_server_error or self._clock() >= end:
                    raise
            self._stop.check()
            self._stop.wait(RETRY_S)

    def _send(self, waiting: Mapping[str, _Pending], ttl: float) -> None:
        now = self._clock()
        unsent = [
            pending for pending in waiting.values() if pending.message is None and pending.sends < MOST_SENDS and pending.try_at <= now
        ]
        if not unsent or ttl <= 0:
            return
        nodes = self._nodes()
        reachable = [pending for pending in unsent if pending.institution in nodes]
        for pending, identifier in zip(reachable, self._patiently(lambda: self._pushed(reachable, nodes, ttl)), strict=True):
            # Flower gives no id for a message that it could not take; it is tried again like a lost one.
            pending.message = identifier or None
            pending.sends += 1
        for pending in unsent:
            if pending.message is None:
                self._lose(pending)

    def _pushed(self, pending: list[_Pending], nodes: Mapping[str, int], ttl: float) -> list[str]:
        # New messages each time: Flower may have taken some of those whose sending failed, and takes no message twice.
        return list(self._grid.push_messages([_message(one.request, nodes[one.institution], ttl) for one in pending]))

    def _lose(self, pending: _Pending) -> None:
        now = self._clock()
        pending.message, pending.try_at = None, now + RETRY_S
        pending.lost_at = now if pending.lost_at is None else pending.lost_at

    def _collect(self, waiting: Mapping[str, _Pending]) -> Iterator[tuple[str, Answer]]:
        asked = {pending.message: pending for pending in waiting.values() if pending.message}
        # An error that Flower itself makes has not the node's id, so only the message's id tells whose it is.
        for message in self._patiently(lambda: list(self._grid.pull_messages(list(asked)))) if asked else []:
            pending = asked[message.metadata.reply_to_message_id]
            answer = _answer(message)
            if isinstance(answer, Absent) and message.has_error() and message.error.code in LOST_CODES:
                self._lose(pending)
                pending.reason = answer.reason
            else:
                yield pending.institution, answer
        for pending in list(waiting.values()):
            if pending.message is not None or pending.lost_at is None:
                continue
            if pending.sends >= MOST_SENDS or self._clock() - pending.lost_at >= self._patience_s:
                yield pending.institution, Absent(pending.reason)


def pause(waited_s: float, poll_s: float) -> float:
    """Seconds until the next look after ``waited_s`` seconds of waiting: 2 % of them, within ``poll_s`` and 1 s.

    A look costs coordinator and SuperLink about 20 ms of work each, which institutions on the same machine feel.
    """
    return max(poll_s, min(1.0, 0.02 * waited_s))


def pull_quickly() -> None:
    """Shortens the first wait for an object that is announced and not there yet, from 1 s; it still doubles each time.

    A reply becomes visible before its objects have arrived, so whoever looks quickly meets this wait every time. Patches
    Flower 1.41.0 for this process; ``client.flower.pull_quickly`` is its twin.
    """
    pull_objects = inflatable_utils.pull_objects
    pull_objects.__kwdefaults__ = {**(pull_objects.__kwdefaults__ or {}), "initial_backoff": PULL_BACKOFF_S}


def wait_for_the_database() -> None:
    """Lets a SuperLink wait longer for its SQLite file than Flower 1.41.0's 5 s.

    The pieces of a large message are written into the same file as everything else. With a student of a hundred million
    parameters on a busy machine some request waits longer, fails with "database is locked", and the run is broken off.
    """
    from flwr.supercore import sql_mixin

    pragmas = vars(sql_mixin)
    others = tuple((name, value) for name, value in pragmas["SQLITE_PRAGMAS"] if name != "busy_timeout")
    pragmas["SQLITE_PRAGMAS"] = (("busy_timeout", str(BUSY_TIMEOUT_MS)), *others)


def end_quickly() -> None:
    """Lets a SuperLink that is told to end wait :data:`END_S` for what is open, and no longer.

    Flower 1.41 waits for all of it, and the stream of a run's log is open as long as the run. Meanwhile it takes nothing, a ServerApp's
    signs of life neither, and after a minute of that the run is lost.
    """
    run: Any = uvicorn.run
    run.__kwdefaults__ = {**run.__kwdefaults__, "timeout_graceful_shutdown": END_S}


def _message(request: Request, node: int, ttl: float) -> Message:
    content = _content(request.header, request.blob)
    return Message(content, dst_node_id=node, message_type=MESSAGE_TYPES[request.kind], ttl=ttl, group_id=str(request.round))


def _content(header: bytes, blob: bytes) -> RecordDict:
    parts = {"header": header} | ({"blob": blob} if blob else {})
    if len(header) + len(blob) <= LARGEST_WHOLE:
        return RecordDict({"payload": ConfigRecord(dict(parts))})
    # Raw bytes, no .npy frame around them: a large model is not copied once more on its way.
    arrays = {name: Array(dtype="uint8", shape=(len(part),), stype="fedstill.bytes", data=part) for name, part in parts.items()}
    return RecordDict({"payload": ArrayRecord(arrays)})


def _parts(content: RecordDict) -> tuple[bytes, bytes] | None:
    record = content.get("payload")
    found = [record[name] if isinstance(record, ArrayRecord | ConfigRecord) and name in record else b"" for name in ("header", "blob")]
    header, blob = [part.data if isinstance(part, Array) else part for part in found]
    return (header, blob) if isinstance(header, bytes) and isinstance(blob, bytes) and header else None


def _answer(message: Message) -> Answer:
    if message.has_error():
        return Absent(LOST_CODES.get(message.error.code, _plain(f"Flower reports error {message.error.code}: {message.error.reason}")))
    content = message.content
    refusal = content.config_records.get("refusal")
    if refusal is not None:
        return Refusal(_plain(refusal.get("code", "unknown")), _plain(refusal.get("reason", "it gave no reason")))
    parts = _parts(content)
    return Absent("its answer has not the agreed form; is another release installed there?") if parts is None else Reply(*parts)


def _plain(said: object) -> str:
    # An institution's own words go to logs, the store and a terminal: one line, bounded, nothing that moves a cursor.
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(said)[:LONGEST_SENTENCE])


def main(arguments: list[str] | None = None) -> None:
    """``python -m server.flower flower-superlink …``: a SuperLink with Flower's own options, and our patience with its database."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] != [SUPERLINK]:
        raise SystemExit(f"python -m server.flower {SUPERLINK} …")
    from flwr.superlink.cli.flower_superlink import flower_superlink

    wait_for_the_database()
    end_quickly()
    sys.argv = words
    flower_superlink()


if __name__ == "__main__":
    main()
