"""Three attacks that open an update under Flower 1.41's SecAgg+, each run against Flower's own functions and then against ours.

Flower's half is the positive control: it shows that the attack is one. If a later Flower withstands it, that half fails, and
this page is to be written anew. The victim's vector is what Flower masks: its weight and its quantised update, modulo 2^32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.client.mod.secure_aggregation.secaggplus_mod import SecAggPlusState, _collect_masked_vectors, _setup, _share_keys, _unmask
from flwr.common import bytes_to_ndarray, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import factor_combine, parameters_multiply
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key, generate_key_pairs, public_key_to_bytes
from numpy.typing import NDArray

from shared.secagg.errors import EquivocatedSet, ForgedMessage, ReplayedRound, WrongShare
from shared.secagg.keys import KEY_BYTES, first_pair_keys, pair_seed, public_key, seal_key
from shared.secagg.masks import Mask, apply
from shared.secagg.messages import AgreeRequest, EpochKey, UnmaskRequest
from shared.secagg.seals import unseal
from shared.secagg.signing import agreement_bytes, epoch_key_bytes, round_context, sign
from tests.support.secagg import NAMES, Federation, Stream, identity

VICTIM, NODES, THRESHOLD = 1, (1, 2, 3), 2
UPDATE = [np.array([0.25, -0.5, 0.125, 1.0, -0.75], np.float32)]
RANGE = 1 << 32
SETTINGS = {
    Key.SAMPLE_NUMBER: 3,
    Key.SHARE_NUMBER: 3,
    Key.THRESHOLD: THRESHOLD,
    Key.CLIPPING_RANGE: 8.0,
    Key.TARGET_RANGE: 1 << 22,
    Key.MOD_RANGE: RANGE,
    Key.MAX_WEIGHT: 1000.0,
}
LARGEST = 1 << 22
"""No honest coordinate is larger, the weight included. Under a wrong mask each is with probability 1 - 2^-10."""


@dataclass
class FlowerRound:
    """Three of Flower's clients up to their masked vectors; ``shown[n]`` are the public keys that node ``n`` is shown."""

    states: dict[int, SecAggPlusState]
    masked: dict[int, list[NDArray[np.int64]]]
    dealt: dict[int, dict[int, bytes]]


Keys = dict[int, tuple[bytes, bytes]]


def flower_round(shown: Mapping[int, Keys] | None = None, server: Any = None) -> FlowerRound:
    """Setup, share keys, collect, over Flower's own functions; ``server`` gives, by receiver, what it seals in others' names."""
    states = {node: SecAggPlusState(nid=node) for node in NODES}
    true: Keys = {}
    for node, state in states.items():
        keys = _setup(state, ConfigRecord(SETTINGS))
        true[node] = (keys[Key.PUBLIC_KEY_1], keys[Key.PUBLIC_KEY_2])
    if server is not None:
        shown = server.shown(true)
    dealt: dict[int, dict[int, bytes]] = {}
    for node, state in states.items():
        named = {str(peer): list(pair) for peer, pair in (shown or {}).get(node, true).items()}
        answer = _share_keys(state, ConfigRecord(named))
        dealt[node] = dict(zip(answer[Key.DESTINATION_LIST], answer[Key.CIPHERTEXT_LIST], strict=True))
    masked = {}
    for node, state in states.items():
        sources = [peer for peer in NODES if peer != node]
        sealed = {peer: server.sealed(peer, node, true) if server is not None else dealt[peer][node] for peer in sources}
        configs = ConfigRecord({Key.CIPHERTEXT_LIST: list(sealed.values()), Key.SOURCE_LIST: sources})
        answer = _collect_masked_vectors(state, configs, 500, ndarrays_to_parameters(UPDATE))
        masked[node] = [bytes_to_ndarray(content) for content in answer[Key.MASKED_PARAMETERS]]
    return FlowerRound(states, masked, dealt)


def flowers_truth() -> list[NDArray[np.int64]]:
    """The victim's vector without masks."""
    ratio = round(500 / 1000 * (1 << 22))
    quantised = quantize(parameters_multiply([UPDATE[0]], ratio / (1 << 22)), 8.0, 1 << 22)
    return factor_combine(ratio, quantised)


def without(vector: list[NDArray[np.int64]], masks: list[tuple[int, bytes]]) -> list[NDArray[np.int64]]:
    """``vector`` with keystreams of Flower's generator taken off, each with its sign."""
    shapes = [part.shape for part in vector]
    for added, seed in masks:
        stream = pseudo_rand_gen(seed, RANGE, shapes)
        vector = [(part - added * words) % RANGE for part, words in zip(vector, stream, strict=True)]
    return vector


def is_flowers_truth(found: list[NDArray[np.int64]]) -> bool:
    # Its rounding is random: a coordinate is within one step.
    return all(np.abs(part - true).max() <= 1 for part, true in zip(found, flowers_truth(), strict=True))


def pair_sign(node: int, peer: int) -> int:
    return 1 if node > peer else -1


# A mask's seed is guessed


def folded(seed: bytes) -> int:
    words = np.frombuffer(seed, "<u4")
    return int(np.bitwise_xor.reduce(words))


def test_flowers_pair_mask_has_28_bits_and_is_found_by_trying() -> None:
    played = flower_round()
    victim, helper = played.states[VICTIM], played.states[3]
    # The server learns the self-mask of a survivor by the protocol, and one pair's from the client that helps it.
    known = generate_shared_key(bytes_to_private_key(helper.sk1), bytes_to_public_key(victim.pk1))
    unknown = generate_shared_key(bytes_to_private_key(victim.sk1), bytes_to_public_key(played.states[2].pk1))
    left = without(played.masked[VICTIM], [(1, victim.rd_seed), (pair_sign(VICTIM, 3), known)])
    keys = [generate_shared_key(generate_key_pairs()[0], bytes_to_public_key(victim.pk1)) for _ in range(20)]
    assert all(folded(key) & 0x80808080 == 0 for key in (*keys, known, unknown)), "28 bits of 32 vary"
    # All 2^28 take hours of one core. Here all but 12 bits are given, so that the search takes a moment.
    varying = [bit for bit in range(32) if bit % 8 != 7][:12]
    spread = [sum((guess >> place & 1) << bit for place, bit in enumerate(varying)) for guess in range(1 << 12)]
    base = folded(unknown) & ~sum(1 << bit for bit in varying)
    found = [without(left, [(pair_sign(VICTIM, 2), (base | part).to_bytes(4, "little"))]) for part in spread]
    plausible = [vector for vector in found if all((part <= LARGEST).all() for part in vector)]
    assert any(is_flowers_truth(vector) for vector in plausible)
    assert len(plausible) == 1, "the right one shows by its size"


def test_flowers_seeds_that_fold_to_the_same_word_give_the_same_mask() -> None:
    seed = bytearray(Stream("seed")(32))
    other = seed[4:] + seed[:4]
    assert seed != other
    (one,), (same,) = (pseudo_rand_gen(bytes(content), RANGE, [(100,)]) for content in (seed, other))
    assert (one == same).all()


def keystream(seed: bytes, words: int = 64) -> NDArray[np.uint32]:
    made, counters = np.zeros(words, np.uint32), np.zeros(1, np.uint64)
    apply(made, counters, [Mask(seed, True)])
    return np.concatenate([counters.view(np.uint32), made])


def test_every_bit_of_our_seed_counts() -> None:
    # Were any two of the 256 folded together, or left out, one of these would be equal or nearly so.
    seed = Stream("seed")(KEY_BYTES)
    base = keystream(seed)
    flips = [seed[: bit // 8] + bytes([seed[bit // 8] ^ 1 << bit % 8]) + seed[bit // 8 + 1 :] for bit in range(8 * KEY_BYTES)]
    streams = [base, *(keystream(flip) for flip in flips)]
    for stream in streams[1:]:
        changed = int(np.bitwise_count(stream ^ base).sum())
        # Of 2112 bits half change: 1056 with a deviation of 23.
        assert abs(changed - 1056) < 8 * 23
        assert (stream != base).all()
    assert len({stream.tobytes() for stream in streams}) == 8 * KEY_BYTES + 1
    with pytest.raises(ValueError, match="key size"):
        keystream(seed[:31])


def test_seeds_that_fold_alike_give_other_masks_of_ours() -> None:
    seed = Stream("seed")(KEY_BYTES)
    alike = [seed[4 * turn :] + seed[: 4 * turn] for turn in range(1, 8)]
    assert {folded(other) for other in alike} == {folded(seed)}
    streams = {keystream(other).tobytes() for other in (seed, *alike)}
    assert len(streams) == 8


def test_our_seeds_are_32_bytes_from_hkdf_and_vary_in_every_bit() -> None:
    key, names = Stream("pair")(KEY_BYTES), ("ash", "birch")
    seeds = [pair_seed(key, number.to_bytes(32, "big"), *names) for number in range(200)]
    ones = np.unpackbits(np.frombuffer(b"".join(seeds), np.uint8).reshape(200, KEY_BYTES), axis=1).sum(axis=0)
    assert ones.shape == (256,)
    # Each bit is 1 in about half of 200 seeds: 100 with a deviation of 7.
    assert ones.min() > 100 - 6 * 7
    assert ones.max() < 100 + 6 * 7


# The server sits in the middle of every pair


class FlowerMiddle:
    """A server that shows every client its own public keys in the others' names, and deals shares in their names."""

    def __init__(self) -> None:
        self.first, self.second = {}, {}
        for node in NODES:
            self.first[node], self.second[node] = generate_key_pairs(), generate_key_pairs()

    def shown(self, true: Keys) -> dict[int, Keys]:
        own = {node: (public_key_to_bytes(self.first[node][1]), public_key_to_bytes(self.second[node][1])) for node in NODES}
        return {node: {peer: true[peer] if peer == node else own[peer] for peer in NODES} for node in NODES}

    def sealed(self, sender: int, receiver: int, true: Keys) -> bytes:
        key = generate_shared_key(self.second[sender][0], bytes_to_public_key(true[receiver][1]))
        return encrypt(key, share_keys_plaintext_concat(sender, receiver, bytes(36), bytes(36)))


def test_flowers_server_swaps_the_public_keys_and_reads_an_update() -> None:
    server = FlowerMiddle()
    played = flower_round(server=server)
    victim = played.states[VICTIM]
    # What the victim dealt is sealed to the server's keys, so it opens the self-mask's shares itself: nobody else is asked.
    dealt = []
    for receiver, sealed in played.dealt[VICTIM].items():
        key = generate_shared_key(server.second[receiver][0], bytes_to_public_key(victim.pk2))
        dealt.append(share_keys_plaintext_separate(decrypt(key, sealed))[2])
    pairs = [
        (pair_sign(VICTIM, peer), generate_shared_key(server.first[peer][0], bytes_to_public_key(victim.pk1)))
        for peer in NODES
        if peer != VICTIM
    ]
    assert is_flowers_truth(without(played.masked[VICTIM], [(1, combine_shares(dealt)), *pairs]))


def test_our_coordinator_that_swaps_the_keys_is_refused_by_everyone_it_shows_them() -> None:
    federation = Federation()
    plan, private = federation.plan(), {name: Stream(f"middle {name}")(KEY_BYTES) for name in NAMES}
    own: dict[str, EpochKey] = {}
    for name, key in zip(NAMES, federation.keys, strict=True):
        unsigned = replace(key, public_key=public_key(private[name]))
        own[name] = replace(unsigned, signature=sign(identity("coordinator"), epoch_key_bytes(unsigned)))
    for name, key in zip(NAMES, federation.keys, strict=True):
        shown = tuple(key if other == name else own[other] for other in NAMES)
        named = next(other for other in NAMES if other != name)
        with pytest.raises(ForgedMessage, match=f"the epoch key of '{named}' does not carry its owner's signature"):
            federation.institutions[name].check(plan, shown)
    # Its own keys open nothing of what is exchanged under the true ones.
    masked, context = federation.mask(plan, "ash"), round_context(plan)
    for peer, sealed in masked.shares.items():
        between = first_pair_keys(private[peer], own[peer], [federation.keys[0]])[federation.keys[0].institution]
        with pytest.raises(WrongShare, match=f"'ash' is said to have sealed to '{peer}' does not open"):
            unseal(seal_key(between, context, "ash", peer), sealed, context, "ash", peer)


# One request names a victim alive and lost


def flowers_answers(played: FlowerRound, alive: list[int], lost: list[int]) -> list[dict[int, list[bytes]]]:
    """Each other node's answer to Unmask, by node, split into self-mask shares and key shares."""
    found: list[dict[int, list[bytes]]] = [{}, {}]
    for node in NODES:
        if node != VICTIM:
            configs = ConfigRecord({Key.ACTIVE_NODE_ID_LIST: alive, Key.DEAD_NODE_ID_LIST: lost})
            shares = _unmask(played.states[node], configs)[Key.SHARE_LIST]
            for kind, (nodes, part) in enumerate(((alive, shares[: len(alive)]), (lost, shares[len(alive) :]))):
                for named, share in zip(nodes, part, strict=True):
                    found[kind].setdefault(named, []).append(share)
    return found


def test_flowers_clients_give_both_kinds_of_share_for_one_victim() -> None:
    played = flower_round()
    self_shares, key_shares = flowers_answers(played, [*NODES], [VICTIM])
    private = bytes_to_private_key(combine_shares(key_shares[VICTIM]))
    pairs = [(pair_sign(VICTIM, peer), generate_shared_key(private, bytes_to_public_key(played.states[peer].pk1))) for peer in (2, 3)]
    assert is_flowers_truth(without(played.masked[VICTIM], [(1, combine_shares(self_shares[VICTIM])), *pairs]))


def test_our_request_cannot_name_a_victim_on_both_sides() -> None:
    # It holds one set. Who is not in it is lost; a name in it twice is no set.
    federation = Federation()
    made = federation.masked(federation.plan(), lost=["elm"])
    federation.agree(made)
    request = made.unmask_request("ash")
    for survivors in (("ash", "ash", "birch", "cedar", "dogwood"), ("ash", "birch", "cedar", "dogwood", "elm", "elm")):
        with pytest.raises(EquivocatedSet, match=r"institution 'ash' refused .* not a set of names within the cohort"):
            federation.institutions["ash"].unmask(replace(request, survivors=survivors))
    answers = {name: federation.institutions[name].unmask(made.unmask_request(name)) for name in request.survivors}
    alive = {name for answer in answers.values() for name in answer.self_shares}
    lost = {name for answer in answers.values() for _, name in answer.pair_shares}
    assert (alive, lost) == (set(NAMES[:4]), {"elm"})


@pytest.mark.parametrize("first", ["alive", "lost"])
def test_our_institutions_do_not_answer_for_both_sides_in_two_requests(first: str) -> None:
    federation = Federation()
    plan = federation.plan()
    masked = {name: federation.mask(plan, name) for name in NAMES}
    whole = {name: answer.agreement for name, answer in masked.items()}
    smaller = NAMES[1:]
    signed = {name: sign(identity(name), agreement_bytes(round_context(plan), smaller)) for name in smaller}

    def asked(holder: str, survivors: tuple[str, ...], proofs: Mapping[str, bytes]) -> UnmaskRequest:
        return UnmaskRequest(plan, survivors, proofs, {name: masked[name].shares[holder] for name in survivors if name != holder})

    for holder in smaller:
        requests = {"alive": asked(holder, NAMES, whole), "lost": asked(holder, smaller, signed)}
        institution = federation.institutions[holder]
        if first == "lost":
            institution.agree(AgreeRequest(plan, smaller))
        institution.unmask(requests.pop(first))
        (second,) = requests.values()
        with pytest.raises(ReplayedRound, match=f"institution '{holder}' has given its shares for round 1 already"):
            institution.unmask(second)
