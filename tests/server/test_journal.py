"""A round's record as it fills: who answered with how many bytes, who did not, who said no."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

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


class Forgetful(Scripted):
    """Refuses every request that is not whole, as an institution without the model before."""

    code = "MissingBase"

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        for name, request in requests.items():
            asked: Request | None = request
            while asked is not None and asked.blob != b"whole":
                refusal = Refusal(self.code, "send the whole")
                asked = again(name, refusal)
            yield name, refusal if asked is None else Reply(b"done")


@pytest.mark.parametrize("code", ["MissingBase", "ForgedMessage"])
def test_who_cannot_use_a_delta_is_sent_the_whole_and_both_are_counted(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forgetful, "code", code)
    journal = Journal(RoundRecord(number=4, phase="train"), lambda event: None, lambda: 0.0)
    requests, whole = ({"ash": Request("train", b"abc", blob)} for blob in (b"delta", b"whole"))
    assert dict(journal.ask(Forgetful(), "train", requests, 10.0, whole)) == {"ash": Reply(b"done")}
    assert journal.record.refused == {}
    assert journal.record.bytes_down == {"ash": 16}


@pytest.mark.parametrize(("code", "sent"), [("PolicyRefusal", b"whole"), ("MissingBase", b"delta")])
def test_another_refusal_or_one_of_the_whole_itself_stands(code: str, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forgetful, "code", code)
    journal = Journal(RoundRecord(number=4, phase="train"), lambda event: None, lambda: 0.0)
    requests = {"ash": Request("train", b"abc", b"delta")}
    whole = {"ash": Request("train", b"abc", sent)}
    assert dict(journal.ask(Forgetful(), "train", requests, 10.0, whole)) == {}
    assert journal.record.refused == {"ash": "send the whole"}
    assert journal.record.bytes_down == {"ash": 8}


def test_stages_add_up() -> None:
    journal = Journal(RoundRecord(number=4, phase="train"), lambda event: None, lambda: 0.0)
    for _ in range(2):
        dict(journal.ask(Scripted(), "unmask", {"ash": Request("unmask", b"abc")}, 10.0))
    assert journal.record.bytes_up == {"ash": 16}
    assert journal.record.bytes_down == {"ash": 6}
