"""A round's record as it fills: who answered with how many bytes, who did not, who said no."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from server.events import Event
from server.journal import Journal
from server.records import RoundRecord
from shared.exchange import Absent, Again, Answer, Refusal, Reply, Request, never_again

ANSWERS: dict[str, Answer] = {
    "ash": Reply(b"12345", b"678"),
    "elm": Absent("its node went away"),
    "fir": Refusal("LostEpoch", "fir has no keys"),
    "oak": Refusal("PolicyRefusal", "oak does not agree"),
}


class Scripted:
    def institutions(self) -> frozenset[str]:
        return frozenset(ANSWERS)

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        yield from ANSWERS.items()


def test_every_answer_is_written_down_and_only_replies_are_given_on() -> None:
    events: list[Event] = []
    ticks = iter(range(100))
    journal = Journal(RoundRecord(number=4, phase="train"), events.append, lambda: float(next(ticks)))
    requests = {name: Request("train", b"header", b"blob") for name in ANSWERS}
    replies = dict(journal.ask(Scripted(), "train", requests, 10.0))
    assert replies == {"ash": Reply(b"12345", b"678")}
    record = journal.record
    assert record.bytes_up == {"ash": 8}
    assert record.bytes_down == dict.fromkeys(ANSWERS, 10)
    assert record.absent == {"elm": "its node went away"}
    assert record.refused == {"fir": "fir has no keys", "oak": "oak does not agree"}
    assert record.lost_epoch == ("fir",)
    assert record.seconds == {"train": 2.0}
    assert [event.kind for event in events] == [
        "institution-answered",
        "institution-absent",
        "institution-refused",
        "institution-refused",
    ]


def test_stages_add_up() -> None:
    journal = Journal(RoundRecord(number=4, phase="train"), lambda event: None, lambda: 0.0)
    for _ in range(2):
        dict(journal.ask(Scripted(), "unmask", {"ash": Request("unmask", b"abc")}, 10.0))
    assert journal.record.bytes_up == {"ash": 16}
    assert journal.record.bytes_down == {"ash": 6}
