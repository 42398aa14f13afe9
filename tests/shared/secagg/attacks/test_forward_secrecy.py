"""Who steals the states of *all* institutions after a round, with everything that was ever sent, opens no earlier round.

The thief takes every key and every 32 bytes in a state for a key, steps each forward, derives every seed and seal key of
every round and pair from it, and tries all of them on every seal, commitment and mask. That the thief is no fool is shown
by the states from before: with them the same thief opens everything.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.secagg.errors import ForgedMessage, WrongShare
from shared.secagg.keys import KEY_BYTES, Ratchet, first_pair_keys, ordered, pair_seed, seal_key
from shared.secagg.masks import Mask, apply, inverse, pair_mask
from shared.secagg.messages import EpochKey, Masked, Plan, Shares
from shared.secagg.seals import commit_pair, commit_self, unseal
from shared.secagg.shamir import reconstruct
from shared.secagg.signing import round_context
from shared.secagg.state import unpack
from tests.support.secagg import NAMES, Federation, Vector, vector_of

ROUNDS = (1, 2, 3)
LOST = {2: "elm"}
"""In the second round elm does not answer, so that pair seeds are given away and its own key stays a round behind."""
Pair = tuple[str, str]


@dataclass
class Traffic:
    """What went over the wire in one round."""

    plan: Plan
    masked: dict[str, Masked]
    self_seeds: dict[str, bytes] = field(default_factory=dict)

    @property
    def context(self) -> bytes:
        return round_context(self.plan)


@dataclass
class History:
    """A run of three rounds: its traffic, and everyone's state before and after each step."""

    federation: Federation
    traffic: dict[int, Traffic]
    before: dict[int, dict[str, bytes]]
    masked: dict[int, dict[str, bytes]]
    after: dict[int, dict[str, bytes]]


def states(federation: Federation) -> dict[str, bytes]:
    return {name: institution.export() for name, institution in federation.institutions.items()}


def play() -> History:
    federation = Federation()
    history = History(federation, {}, {}, {}, {})
    for number in ROUNDS:
        plan, lost = federation.plan(number), LOST.get(number)
        history.before[number] = states(federation)
        masked = {name: federation.mask(plan, name) for name in NAMES if name != lost}
        history.masked[number] = states(federation)
        made = federation.coordinator(plan)
        for answer in masked.values():
            made.add(answer)
        made.close()
        federation.agree(made)
        shares = {name: federation.institutions[name].unmask(made.unmask_request(name)) for name in masked}
        history.after[number] = states(federation)
        history.traffic[number] = Traffic(plan, masked, {name: self_seed(plan, name, shares) for name in masked})
    return history


def self_seed(plan: Plan, name: str, answers: Mapping[str, Shares]) -> bytes:
    """A survivor's self-mask seed, which the coordinator learns by the protocol; so the thief has it too."""
    holders = sorted(answers)[: plan.threshold]
    rows = np.frombuffer(b"".join(answers[holder].self_shares[name] for holder in holders), np.uint8)
    return reconstruct([plan.cohort.index(holder) for holder in holders], rows.reshape(len(holders), 1, KEY_BYTES)).tobytes()


@pytest.fixture(scope="module")
def history() -> History:
    return play()


# The thief


def keys_in(state: bytes) -> set[bytes]:
    """Every 32 bytes that stand in a state: fields of that length, and longer ones cut into pieces of it."""
    values = [bytes.fromhex(text) for text in re.findall(r'"((?:[0-9a-f]{2})+)"', json.dumps(json.loads(state)))]
    return {value[start : start + KEY_BYTES] for value in values for start in range(0, len(value) - KEY_BYTES + 1, KEY_BYTES)}


def pair_keys(stolen: Iterable[bytes], published: Mapping[str, EpochKey]) -> set[bytes]:
    """Everything that could be a pair's key: what stands in the states, and what the private keys of an epoch would give."""
    found = set()
    for state in stolen:
        candidates, own = keys_in(state), unpack(state).key
        found |= candidates
        for candidate in candidates:
            found |= set(agreed(candidate, own, published))
    return found


def agreed(private: bytes, own: EpochKey, published: Mapping[str, EpochKey]) -> Iterator[bytes]:
    for peer in published.values():
        try:
            yield first_pair_keys(private, own, [peer])[peer.institution]
        except ForgedMessage:
            continue


def stepped(keys: Iterable[bytes], steps: int) -> set[bytes]:
    """The keys themselves, and all that the ratchet makes of them."""
    found = set(keys)
    rows = Ratchet(0, {str(place): key for place, key in enumerate(sorted(found))})
    for number in range(1, steps + 1):
        found |= set(rows.at(number).keys.values())
    return found


@dataclass
class Loot:
    """What a thief makes of a set of keys in one round."""

    opened: set[Pair]
    pair_seeds: dict[Pair, bytes]

    def pairs_of(self, name: str) -> dict[str, bytes]:
        return {(set(pair) - {name}).pop(): seed for pair, seed in self.pair_seeds.items() if name in pair}


def ransack(keys: set[bytes], traffic: Traffic) -> Loot:
    """Tries every key on every seal of a round (as it is, and derived) and every seed on every commitment."""
    context, opened, seeds = traffic.context, set(), {}
    for (sender, receiver), sealed in seals(traffic).items():
        for key in keys:
            for derived in (key, seal_key(key, context, sender, receiver)):
                if opens(derived, sealed, context, sender, receiver):
                    opened.add((sender, receiver))
    commitments = {value for masked in traffic.masked.values() for value in masked.commitments.values()}
    for one, other in itertools.combinations(NAMES, 2):
        for key in keys:
            for seed in (key, pair_seed(key, context, one, other)):
                if commit_pair(context, one, other, seed) in commitments:
                    seeds[ordered(one, other)] = seed
    for name, key in itertools.product(NAMES, keys):
        assert name in traffic.self_seeds or commit_self(context, name, key) not in commitments
    return Loot(opened, seeds)


def seals(traffic: Traffic) -> dict[Pair, bytes]:
    return {(sender, receiver): sealed for sender, masked in traffic.masked.items() for receiver, sealed in masked.shares.items()}


def opens(key: bytes, sealed: bytes, context: bytes, sender: str, receiver: str) -> bool:
    try:
        unseal(key, sealed, context, sender, receiver)
    except WrongShare:
        return False
    return True


def lies_open(traffic: Traffic, name: str, loot: Loot) -> bool:
    """Whether ``name``'s own vector comes out when every mask that the thief knows is taken off."""
    masked = traffic.masked[name]
    update, counters = masked.update.copy(), masked.counters.copy()
    masks = [Mask(traffic.self_seeds[name], True), *(pair_mask(name, peer, seed) for peer, seed in loot.pairs_of(name).items())]
    apply(update, counters, [inverse(mask) for mask in masks])
    true, found = vector_of(traffic.plan, name), Vector(update, counters[2:], int(counters[1]))
    return bool((found.update == true.update).all() and (found.counters == true.counters).all() and found.weight == true.weight)


def steal(history: History, stolen: Mapping[str, bytes], number: int, identities: Iterable[Ed25519PrivateKey] = ()) -> Loot:
    published = {key.institution: key for key in history.federation.keys}
    keys = pair_keys(stolen.values(), published) | {identity.private_bytes_raw() for identity in identities}
    return ransack(stepped(keys, len(ROUNDS) + 1), history.traffic[number])


# What is found


@pytest.mark.parametrize("number", [1, 3])
def test_all_states_from_before_a_round_open_it(history: History, number: int) -> None:
    # The control: the same thief, one step earlier.
    loot, traffic = steal(history, history.before[number], number), history.traffic[number]
    assert loot.opened == set(seals(traffic))
    assert set(loot.pair_seeds) == {ordered(*pair) for pair in seals(traffic)}
    assert all(lies_open(traffic, name, loot) for name in traffic.masked)


def test_one_state_from_before_a_round_opens_what_is_its_own(history: History) -> None:
    loot = steal(history, {"ash": history.before[3]["ash"]}, 3)
    assert loot.opened == {pair for pair in seals(history.traffic[3]) if "ash" in pair}
    assert lies_open(history.traffic[3], "ash", loot)
    assert not lies_open(history.traffic[3], "birch", loot)


@pytest.mark.parametrize(("taken_after", "number"), [(3, 1), (3, 2), (3, 3), (1, 1)])
def test_all_states_from_after_a_round_open_neither_it_nor_an_earlier_one(history: History, taken_after: int, number: int) -> None:
    loot, traffic = steal(history, history.after[taken_after], number, history.federation.identities.values()), history.traffic[number]
    assert loot.opened == set()
    assert loot.pair_seeds == {}
    assert not any(lies_open(traffic, name, loot) for name in traffic.masked)


def test_who_was_lost_holds_its_own_keys_of_the_round_and_opens_nobodys_vector(history: History) -> None:
    # elm never masked round 2, so its state still has the keys of that round. The seeds it shares with the others were
    # given to the coordinator to take their masks off the sum; they open what was sealed to elm, one share of each secret.
    loot, traffic = steal(history, history.after[2], 2), history.traffic[2]
    assert {name for pair in loot.pair_seeds for name in pair if name != "elm"} == set(NAMES) - {"elm"}
    assert all("elm" in pair for pair in (*loot.pair_seeds, *loot.opened))
    assert not any(lies_open(traffic, name, loot) for name in traffic.masked)


def test_states_from_between_train_and_unmask_open_that_round_s_seals_and_no_earlier_one(history: History) -> None:
    # The documented limit: shares are still to be opened, so the keys to them are there. The pair keys are gone already.
    loot = steal(history, history.masked[3], 3)
    assert (loot.opened, loot.pair_seeds) == (set(seals(history.traffic[3])), {})
    earlier = steal(history, history.masked[3], 2)
    assert (earlier.opened, earlier.pair_seeds) == (set(), {})


def test_a_state_after_the_first_round_has_no_private_key(history: History) -> None:
    for number, name in itertools.product(ROUNDS, NAMES):
        assert unpack(history.after[number][name]).private_key == b""


@pytest.mark.parametrize("kept", ["private_key", "ratchet"])
def test_the_check_itself_can_fail(history: History, kept: str) -> None:
    # An institution that had kept what it dropped would be found out.
    fields, earlier = json.loads(history.after[3]["ash"]), json.loads(history.before[1 if kept == "private_key" else 3]["ash"])
    careless = json.dumps(fields | {kept: earlier[kept]}).encode()
    loot = steal(history, history.after[3] | {"ash": careless}, 3)
    assert {name for pair in loot.pair_seeds for name in pair} == set(NAMES)
    assert lies_open(history.traffic[3], "ash", loot)
