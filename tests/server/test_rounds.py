"""One round over an exchange whose institutions answer late, never, or in another's name: it closes with a true sum, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from server.events import Event, InstitutionAbsent
from server.journal import Journal
from server.records import RoundRecord, StoredRound
from server.rounds import QUICK_STAGE_S, Closed, Outcome, RoundRunner, Void
from server.store import Store
from shared.exchange import Absent, Again, Answer, MessageKind, Refusal, Reply, Request, never_again
from shared.rpc.codec import from_wire, join_masked, open_request, seal_request, split_masked, to_wire
from shared.secagg.messages import AgreeRequest, Plan, TrainRequest, UnmaskRequest
from tests.support.secagg import NAMES, POLICY, Federation, assert_sum, identity

Change = Callable[[str, Request, Answer], Answer]


def truth(_name: str, _request: Request, answer: Answer) -> Answer:
    return answer


def gone(*places: tuple[str, MessageKind]) -> Change:
    return lambda name, request, answer: Absent("no answer in time") if (name, request.kind) in places else answer


@dataclass
class Institutions:
    """An exchange over the protocol's own institutions; an answer that was given is given again, as a ledger does."""

    federation: Federation
    change: Change = truth
    asked: list[tuple[MessageKind, str, bytes]] = field(default_factory=list)
    deadlines: dict[MessageKind, float] = field(default_factory=dict)
    given: dict[bytes, Reply] = field(default_factory=dict)

    def institutions(self) -> frozenset[str]:
        return frozenset(self.federation.names)

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        for name, request in requests.items():
            self.asked.append((request.kind, name, request.header))
            self.deadlines[request.kind] = deadline_s
            place = name.encode() + request.header
            yield name, self.change(name, request, self.given.setdefault(place, self._answer(name, request)))

    def _answer(self, name: str, request: Request) -> Reply:
        if (kept := self.given.get(name.encode() + request.header)) is not None:
            return kept
        body, institution = (
            open_request(request.kind, request.header, self.federation.roster.coordinator),
            self.federation.institutions[name],
        )
        match request.kind:
            case "train":
                return Reply(*split_masked(self.federation.mask(from_wire(TrainRequest, body).plan, name)))
            case "agree":
                return Reply(to_wire(institution.agree(from_wire(AgreeRequest, body))))
            case _:
                return Reply(to_wire(institution.unmask(from_wire(UnmaskRequest, body))))


@dataclass
class Table:
    """A stored round of five, whose runner can be made again as after a crash."""

    folder: Path
    federation: Federation = field(default_factory=Federation)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan: Plan = self.federation.plan()
        self.exchange = Institutions(self.federation)
        record = RoundRecord(number=1, phase="train", cohort=self.plan.cohort)
        self.stored = StoredRound(record, 0, to_wire(TrainRequest(self.plan, self.federation.keys)), "")
        header = seal_request("train", self.stored.plan, identity("coordinator"))
        self.store = Store(f"sqlite:///{self.folder / 'store.sqlite'}")
        self.store.open_round("trial", self.stored, dict.fromkeys(self.plan.cohort, header))

    def carry(self, change: Change = truth, deadline_s: float = 600.0) -> Outcome:
        self.exchange.change = change
        (stored,) = self.store.rounds("trial", "open")
        self.journal = Journal(stored.record, self.events.append)
        runner = RoundRunner("trial", self.folder, self.exchange, self.store, identity("coordinator"), self.federation.roster, deadline_s)
        return runner.carry(stored, self.journal)

    def absences(self) -> dict[tuple[str, MessageKind], str]:
        return {(event.institution, event.stage): event.reason for event in self.events if isinstance(event, InstitutionAbsent)}


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path)
    yield made
    made.store.close()


def closes_over(table: Table, outcome: Outcome, *names: str) -> None:
    assert isinstance(outcome, Closed), outcome
    assert_sum(outcome.aggregate, table.plan, names)
    assert table.journal.record.survivors == tuple(sorted(names))


def test_where_everyone_answers_two_messages_are_enough(table: Table) -> None:
    closes_over(table, table.carry(), *NAMES)
    assert {kind for kind, _, _ in table.exchange.asked} == {"train", "unmask"}
    assert len(table.exchange.asked) == 2 * len(NAMES)
    assert not table.absences()


@pytest.mark.parametrize("name", NAMES)
def test_who_is_late_at_train_is_left_out_and_the_others_agree_without_it(table: Table, name: str) -> None:
    closes_over(table, table.carry(gone((name, "train"))), *(one for one in NAMES if one != name))
    assert [(kind, one) for kind, one, _ in table.exchange.asked if one == name] == [("train", name)], "it is asked nothing more"
    assert table.absences() == {(name, "train"): "no answer in time"}


def test_who_is_late_at_unmask_has_been_added_all_the_same(table: Table) -> None:
    closes_over(table, table.carry(gone(("elm", "unmask"))), *NAMES)
    assert table.absences() == {("elm", "unmask"): "no answer in time"}


def test_with_too_few_answers_the_round_is_void_and_says_how_many(table: Table) -> None:
    late = gone(*((name, "train") for name in NAMES[:3]))
    outcome = table.carry(late)
    assert isinstance(outcome, Void)
    assert "2" in outcome.reason
    assert {kind for kind, _, _ in table.exchange.asked} == {"train"}, "nothing is unmasked of what nobody may see"


def test_with_too_few_shares_the_round_is_void(table: Table) -> None:
    outcome = table.carry(gone(*((name, "unmask") for name in NAMES[1:])))
    assert isinstance(outcome, Void)
    assert outcome.reason


def test_an_answer_in_another_s_name_is_its_sender_s_absence(table: Table) -> None:
    def stolen(name: str, request: Request, answer: Answer) -> Answer:
        return table.exchange.given[b"ash" + request.header] if (name, request.kind) == ("elm", "train") else answer

    closes_over(table, table.carry(stolen), *NAMES[:4])
    assert table.absences() == {("elm", "train"): "its answer cannot be used: it carries the name of 'ash'"}


@pytest.mark.parametrize("kind", ["train", "agree", "unmask"])
def test_bytes_that_are_no_answer_are_an_absence_at_any_stage(table: Table, kind: MessageKind) -> None:
    def garbled(name: str, request: Request, answer: Answer) -> Answer:
        if (name, request.kind) == ("dogwood", "train"):
            return Absent("so that there is an agreement")
        return Reply(b"\xff\xff") if (name, request.kind) == ("birch", kind) else answer

    outcome = table.carry(garbled)
    assert "its answer cannot be used" in table.absences()["birch", kind]
    if isinstance(outcome, Closed):
        assert_sum(outcome.aggregate, table.plan, table.journal.record.survivors)
    else:
        assert outcome.reason


def test_a_refusal_is_no_answer_and_is_kept_in_its_own_words(table: Table) -> None:
    def refusing(name: str, request: Request, answer: Answer) -> Answer:
        return Refusal("PolicyRefusal", "not this round") if name == "cedar" else answer

    closes_over(table, table.carry(refusing), "ash", "birch", "dogwood", "elm")
    assert table.journal.record.refused == {"cedar": "not this round"}


def test_asked_again_after_a_crash_the_headers_are_the_same_and_the_surviving_set_stays(table: Table) -> None:
    # The coordinator dies after it wrote the set down: nobody's shares arrive.
    assert isinstance(table.carry(gone(("cedar", "train"), *((name, "unmask") for name in NAMES))), Void)
    first, left = list(table.exchange.asked), tuple(name for name in NAMES if name != "cedar")
    assert table.store.rounds("trial", "open")[0].record.survivors == left
    table.exchange.asked.clear()
    # Now the lost one would answer; it is not asked, for those who survived have signed a set without it.
    closes_over(table, table.carry(), *left)
    asked = {(kind, name): header for kind, name, header in first}
    assert {name for _, name, _ in table.exchange.asked} == set(left)
    assert all(asked[kind, name] == header for kind, name, header in table.exchange.asked)


def test_a_survivor_that_does_not_answer_again_voids_the_round(tmp_path: Path) -> None:
    # Three of five would be enough for a sum, but four of them have signed for four.
    table = Table(tmp_path, Federation(policy=replace(POLICY, collusion=0)))
    table.carry(gone(("cedar", "train"), *((name, "unmask") for name in NAMES)))
    outcome = table.carry(gone(("elm", "train")))
    assert outcome == Void("of the surviving set ash, birch, dogwood, elm only ash, birch, dogwood answered again")
    table.store.close()


@pytest.mark.parametrize(("deadline", "quick"), [(600.0, QUICK_STAGE_S), (20.0, 20.0)])
def test_stages_in_which_nobody_trains_wait_less(table: Table, deadline: float, quick: float) -> None:
    table.carry(gone(("ash", "train")), deadline)
    assert table.exchange.deadlines == {"train": deadline, "agree": quick, "unmask": quick}


def test_a_sum_is_of_what_was_sent_to_the_last_bit(table: Table) -> None:
    def tampered(name: str, request: Request, answer: Answer) -> Answer:
        if (name, request.kind) != ("birch", "train") or not isinstance(answer, Reply):
            return answer
        masked = join_masked(answer.header, answer.blob)
        return Reply(*split_masked(replace(masked, update=masked.update + masked.update.dtype.type(1))))

    # The vector is signed: another one is nobody's.
    closes_over(table, table.carry(tampered), "ash", "cedar", "dogwood", "elm")
    assert "signature" in table.absences()["birch", "train"]
