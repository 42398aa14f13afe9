"""An institution that lies in the middle of a run: it is named with the reason, left out, and the run goes on.

One lie a training round, so that one run holds many. Lies are told on the wire, where a corrupted institution or anybody in
between could tell them; where a lie is signed, it is signed with the institution's own key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from client.app import make_app
from server.events import EpochOpened, Event, InstitutionAbsent, InstitutionRefused, RoundClosed, RoundVoid
from server.flower import LONGEST_SENTENCE
from shared.exchange import Answer, MessageKind, Reply, Request
from shared.identity import load_identity
from shared.rpc.codec import from_wire, join_masked, split_masked, to_wire
from shared.secagg.messages import EpochKey, Masked, Shares
from shared.secagg.signing import epoch_key_bytes, masked_bytes, shares_bytes, sign
from tests.support.secagg import flipped
from tests.support.small import NAMES, SmallFederation, SmallWorkbench, digest_of, make_federation, undisturbed
from tests.support.wiretap import Tapped, run_tapped

FIRST_TRAINING_ROUND = 3
LIAR = "birch"
OTHERS = tuple(name for name in NAMES if name != LIAR)


def absences(events: list[Event]) -> dict[tuple[int, str, MessageKind], str]:
    return {(event.number, event.institution, event.stage): event.reason for event in events if isinstance(event, InstitutionAbsent)}


# Bytes that were changed on their way


FLIPS = 24
LIARS: dict[MessageKind, str] = {"train": "birch", "agree": "cedar", "unmask": "elm"}
"""With a threshold of three of five, one may be lost at each stage."""


def flip_one_byte(name: str, request: Request, answer: Answer) -> Answer:
    """In the n-th training round, a byte that lies n parts into the answer; of Train every second time in the vectors."""
    turn = request.round - FIRST_TRAINING_ROUND
    if LIARS.get(request.kind) != name or not 0 <= turn < FLIPS or not isinstance(answer, Reply):
        return answer
    if request.kind == "train" and turn % 2:
        return replace(answer, blob=flipped(answer.blob, 8 * len(answer.blob) * turn // FLIPS + turn % 8))
    return replace(answer, header=flipped(answer.header, 8 * len(answer.header) * turn // FLIPS + turn % 8))


def test_a_changed_byte_in_an_answer_is_its_sender_s_absence(tmp_path: Path) -> None:
    lone = {"aggregation": {"collusion": 0, "smallest_cohort": 3}, "policy": {"collusion": 0}}
    tapped = run_tapped(make_federation(tmp_path, 5, rounds=FLIPS, **lone), on_answer=flip_one_byte)
    found = absences(tapped.events)
    rounds = range(FIRST_TRAINING_ROUND, FIRST_TRAINING_ROUND + FLIPS)
    assert set(found) == {(number, name, stage) for number in rounds for stage, name in LIARS.items()}
    assert all(reason.startswith("its answer cannot be used: ") for reason in found.values())
    assert not [event for event in tapped.events if isinstance(event, RoundVoid)]
    assert {record.survivors for record in tapped.result.rounds[2 : 2 + FLIPS]} == {OTHERS}


# Lies that are signed


Lie = Callable[[SmallFederation, Reply], Reply]


def identity(federation: SmallFederation, name: str = LIAR) -> Any:
    return load_identity(federation.institutions[name] / "keys" / "identity.key")


def masked_lie(change: Callable[[Masked], dict[str, Any]]) -> Lie:
    def lie(federation: SmallFederation, reply: Reply) -> Reply:
        masked = join_masked(reply.header, reply.blob)
        unsigned = replace(masked, **change(masked))
        return Reply(*split_masked(replace(unsigned, signature=sign(identity(federation), masked_bytes(unsigned)))))

    return lie


def cut(_federation: SmallFederation, reply: Reply) -> Reply:
    return replace(reply, blob=reply.blob[:-1])


def longer(masked: Masked) -> dict[str, Any]:
    return {"update": np.append(masked.update, masked.update[:1])}


def wider(masked: Masked) -> dict[str, Any]:
    return {"update": masked.update.astype(np.uint32)}


def more_counters(masked: Masked) -> dict[str, Any]:
    return {"counters": np.append(masked.counters, masked.counters[:1])}


def for_a_stranger(masked: Masked) -> dict[str, Any]:
    return {"shares": {**masked.shares, "mallory": masked.shares["ash"]}}


def short_share(masked: Masked) -> dict[str, Any]:
    return {"shares": {**masked.shares, "ash": b"short"}}


def in_another_name(masked: Masked) -> dict[str, Any]:
    return {"institution": "cedar"}


def for_another_plan(masked: Masked) -> dict[str, Any]:
    return {"context": flipped(masked.context, 3)}


def unsigned_agreement(masked: Masked) -> dict[str, Any]:
    return {"agreement": flipped(masked.agreement, 3)}


TRAIN_LIES: list[tuple[Lie, str]] = [
    (cut, "a masked answer declares 37 words and 11 counters, which 161 bytes are not"),
    (masked_lie(longer), "'birch' sent 38 update words of uint16 in round 4; planned are 37 of uint16"),
    (masked_lie(wider), "'birch' sent 37 update words of uint32 in round 5; planned are 37 of uint16"),
    (masked_lie(more_counters), "'birch' sent 12 counter words of uint64 in round 6; planned are 11"),
    (masked_lie(for_a_stranger), "'birch' sent shares or commitments for others than its neighbours in the cohort of round 7"),
    (masked_lie(short_share), "'birch' sent a sealed share of round 8 that has not"),
    (masked_lie(in_another_name), "it carries the name of 'cedar'"),
    (masked_lie(for_another_plan), "the answer of 'birch' is not to this plan of round 10"),
    (masked_lie(unsigned_agreement), "the agreement on the whole cohort of 'birch' does not carry its owner's signature"),
    (lambda federation, reply: Reply(b"\xff" * 100), "these bytes are no Masked message"),
    (lambda federation, reply: Reply(b""), "words of 0 bits"),
]


def lying(federation: SmallFederation, kind: MessageKind, lies: list[Lie]) -> Tapped:
    """A run in whose n-th training round the liar tells the n-th lie."""

    def on_answer(name: str, request: Request, answer: Answer) -> Answer:
        turn = request.round - FIRST_TRAINING_ROUND
        if (name, request.kind) != (LIAR, kind) or not 0 <= turn < len(lies) or not isinstance(answer, Reply):
            return answer
        return lies[turn](federation, answer)

    return run_tapped(federation, on_answer=on_answer)


def test_a_masked_answer_that_cannot_be_used_is_left_out_and_says_why(tmp_path: Path) -> None:
    tapped = lying(make_federation(tmp_path, 5, rounds=len(TRAIN_LIES), aggregation={"width": 16}), "train", [lie for lie, _ in TRAIN_LIES])
    found = absences(tapped.events)
    for number, (_, sentence) in enumerate(TRAIN_LIES, start=FIRST_TRAINING_ROUND):
        assert sentence in found.pop((number, LIAR, "train"))
    assert not found
    assert {record.survivors for record in tapped.result.rounds[2 : 2 + len(TRAIN_LIES)]} == {OTHERS}
    assert tapped.result.rounds[-1].survivors == NAMES, "it is asked again, and counts when it tells the truth"


def shares_lie(change: Callable[[Shares], dict[str, Any]]) -> Lie:
    def lie(federation: SmallFederation, reply: Reply) -> Reply:
        shares = from_wire(Shares, reply.header)
        unsigned = replace(shares, **change(shares))
        return Reply(to_wire(replace(unsigned, signature=sign(identity(federation), shares_bytes(unsigned)))))

    return lie


def all_wrong(shares: Shares) -> dict[str, Any]:
    return {"self_shares": {name: flipped(share, 5) for name, share in shares.self_shares.items()}}


def one_wrong(shares: Shares) -> dict[str, Any]:
    return {"self_shares": {**shares.self_shares, "ash": flipped(shares.self_shares["ash"], 5)}}


def one_missing(shares: Shares) -> dict[str, Any]:
    return {"self_shares": {name: share for name, share in shares.self_shares.items() if name != "ash"}}


def test_wrong_shares_are_left_out_and_their_giver_named(tmp_path: Path) -> None:
    lies = [shares_lie(change) for change in (all_wrong, one_wrong, one_missing)]
    tapped = lying(make_federation(tmp_path, 5, rounds=4), "unmask", lies)
    closed = {event.number: event for event in tapped.events if isinstance(event, RoundClosed)}
    assert (closed[3].blamed, closed[3].doubted) == (("birch",), ())
    assert (closed[4].blamed, closed[4].doubted) == ((), (("ash", "birch"),)), "one of the two, and nobody can tell which"
    assert "'birch' gave shares of round 5 for others than it was asked for" in absences(tapped.events)[5, LIAR, "unmask"]
    assert all((closed[number].blamed, closed[number].survivors) == ((), NAMES) for number in (5, 6))
    # Not one bit of the student depends on what the liar gave.
    assert digest_of(tapped.result) == undisturbed(5, 4)


def another_vector(masked: Masked) -> dict[str, Any]:
    counters = masked.counters.copy()
    counters[:1] += np.uint64(1)
    return {"counters": counters}


def a_weight_out_of_range(masked: Masked) -> dict[str, Any]:
    counters = masked.counters.copy()
    counters[1:2] += np.uint64(10**6)
    return {"counters": counters}


def other_commitments(masked: Masked) -> dict[str, Any]:
    return {"commitments": {name: flipped(value, 1) for name, value in masked.commitments.items()}}


def test_what_hides_behind_a_mask_voids_the_round_loudly_and_the_run_goes_on(tmp_path: Path) -> None:
    lies = [another_vector, a_weight_out_of_range, other_commitments]
    tapped = lying(make_federation(tmp_path, 5, rounds=2, aggregation={"most_void_rounds": 4}), "train", [masked_lie(lie) for lie in lies])
    void = {event.number: event.reason for event in tapped.events if isinstance(event, RoundVoid)}
    assert "does not count its 5 survivors" in void.pop(3)
    assert "outside their legal range" in void.pop(4)
    # Whether the last lie is told first or after the others', the liar is named.
    said = " ".join([*void.values(), *absences(tapped.events).values()])
    assert "'birch' committed to other" in said or "'birch' committed to another" in said
    assert [record.survivors for record in tapped.result.rounds if record.training_round == 2] == [NAMES]


# Keys that would stop every round


def epoch_lie(change: Callable[[EpochKey], dict[str, Any]]) -> Lie:
    def lie(federation: SmallFederation, reply: Reply) -> Reply:
        unsigned = replace(from_wire(EpochKey, reply.header), **change(from_wire(EpochKey, reply.header)))
        return Reply(to_wire(replace(unsigned, signature=sign(identity(federation), epoch_key_bytes(unsigned)))))

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        epoch_lie(lambda key: {"roster_digest": bytes(32)}),
        epoch_lie(lambda key: {"public_key": bytes(32)}),
        epoch_lie(lambda key: {"epoch": 7}),
        epoch_lie(lambda key: {"run": "other"}),
        epoch_lie(lambda key: {"institution": "cedar"}),
        lambda federation, reply: Reply(b"garbage"),
        lambda federation, reply: Reply(flipped(reply.header, 700)),
    ],
)
def test_a_key_that_cannot_be_used_is_its_owner_s_absence(lie: Lie, tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=1)

    def on_answer(name: str, request: Request, answer: Answer) -> Answer:
        return lie(federation, answer) if (name, request.kind) == (LIAR, "open") and isinstance(answer, Reply) else answer

    tapped = run_tapped(federation, on_answer=on_answer)
    opened = [event for event in tapped.events if isinstance(event, EpochOpened)]
    assert all(event.absent == (LIAR,) for event in opened)
    assert {record.cohort for record in tapped.result.rounds} == {("ash", "cedar", "elm")}


# Messages that are not of the agreed form


def strange_contents() -> Iterator[tuple[RecordDict, str]]:
    header = ArrayRecord({"blob": Array(dtype="uint8", shape=(3,), stype="x", data=b"abc")})
    yield RecordDict({}), "has not the agreed form"
    yield RecordDict({"payload": ArrayRecord({})}), "has not the agreed form"
    yield RecordDict({"payload": header}), "has not the agreed form"
    yield RecordDict({"payload": MetricRecord({"header": 1.0})}), "has not the agreed form"
    yield RecordDict({"payload": ConfigRecord({"header": 1.0, "blob": b"abc"})}), "has not the agreed form"
    yield RecordDict({"payload": ConfigRecord({"header": [b"a", b"b"]})}), "has not the agreed form"
    yield RecordDict({"payload": ConfigRecord({"header": b"abc", "blob": "def"})}), "has not the agreed form"
    yield RecordDict({"payload": ConfigRecord({"blob": b"abc"})}), "has not the agreed form"
    yield RecordDict({"refusal": ConfigRecord({})}), "it gave no reason"
    yield RecordDict({"refusal": ConfigRecord({"code": 3, "reason": 4.5})}), "4.5"
    yield RecordDict({"refusal": ConfigRecord({"code": "x", "reason": "\x1b[2J\r\nround 9 closed"})}), "\ufffd[2J\ufffd\ufffdround 9 closed"
    yield RecordDict({"refusal": ConfigRecord({"code": "x" * 10**6, "reason": "no " * 10**6})}), "no no no"


def test_an_answer_of_a_strange_form_is_an_absence_or_a_refusal_and_garbles_no_terminal(tmp_path: Path) -> None:
    honest, strange = make_app(SmallWorkbench), list(strange_contents())

    def answer(message: Message, context: Context) -> Message:
        turn = int(message.metadata.group_id or 0) - FIRST_TRAINING_ROUND
        if (
            Path(str(context.node_config["institution-dir"])).name == LIAR
            and message.metadata.message_type == "train"
            and 0 <= turn < len(strange)
        ):
            return Message(strange[turn][0], reply_to=message)
        return honest(message, context)

    app: ClientApp = answer  # type: ignore[assignment]
    events: list[Event] = []
    result = make_federation(tmp_path, 4, rounds=len(strange)).run(client_app=app, events=events)
    said = {event.number: event for event in events if isinstance(event, (InstitutionAbsent, InstitutionRefused))}
    for number, (_, sentence) in enumerate(strange, start=FIRST_TRAINING_ROUND):
        assert said[number].institution == LIAR
        assert sentence in said[number].reason
        assert len(said[number].reason) <= LONGEST_SENTENCE
        assert said[number].reason.isprintable()
    assert result.rounds[-1].survivors == NAMES[:4]
