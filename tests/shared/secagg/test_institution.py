from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shared.secagg.errors import EquivocatedSet, IllegalVector, LostEpoch, ReplayedRound, UnprovenSet, WrongRoster
from shared.secagg.institution import InstitutionEpoch
from shared.secagg.keys import pair_seed
from shared.secagg.masks import Mask, apply, inverse, pair_mask
from shared.secagg.messages import AgreeRequest, Masked, Plan, UnmaskRequest
from shared.secagg.signing import round_context
from shared.secagg.state import unpack
from tests.support.secagg import NAMES, Federation, Stream, assert_sum, identity, vector_of


def test_rounds_follow_each_other_with_and_without_losses() -> None:
    federation = Federation()
    for number, lost in enumerate(((), ("ash",), (), ("elm",), ("cedar",)), start=1):
        plan = federation.plan(number)
        assert_sum(federation.round(plan, lost=lost), plan, [name for name in NAMES if name not in lost])


def test_institutions_that_missed_rounds_meet_the_others_again() -> None:
    federation = Federation()
    for number, cohort in ((1, NAMES[:3]), (4, NAMES[1:4]), (9, NAMES), (10, NAMES[2:])):
        plan = federation.plan(number, cohort=cohort)
        assert_sum(federation.round(plan), plan, cohort)


def test_a_void_round_is_left_behind() -> None:
    federation = Federation()
    federation.masked(federation.plan(1))
    plan = federation.plan(2)
    assert_sum(federation.round(plan), plan, NAMES)


def test_keys_are_needed_once() -> None:
    federation = Federation()
    ash, plan = federation.institutions["ash"], federation.plan(1)
    with pytest.raises(LostEpoch, match="'ash' refused round 1: it has no keys of the others"):
        ash.check(plan)
    with pytest.raises(LostEpoch):
        ash.check(plan, ())
    federation.round(plan)
    for name in NAMES:
        federation.institutions[name].check(federation.plan(2))


@pytest.mark.parametrize("stage", ["open", "check", "mask", "agree", "unmask"])
def test_a_process_that_dies_after_any_answer_goes_on_from_its_export(stage: str) -> None:
    federation = Federation()
    plan = federation.plan(1)

    def perhaps(now: str) -> None:
        if now == stage:
            for name in NAMES:
                federation.restart(name)

    perhaps("open")
    for institution in federation.institutions.values():
        institution.check(plan, federation.keys)
    perhaps("check")
    made = federation.coordinator(plan)
    for name in NAMES[:4]:
        vector = vector_of(plan, name)
        made.add(federation.institutions[name].mask(plan, vector.update, vector.weight, vector.counters))
    made.close()
    perhaps("mask")
    federation.agree(made)
    perhaps("agree")
    federation.unmask(made)
    perhaps("unmask")
    assert_sum(made.finish(), plan, NAMES[:4])
    following = federation.plan(2)
    assert_sum(federation.round(following), following, NAMES)


def test_a_process_that_dies_before_its_answer_was_stored_does_it_again() -> None:
    federation = Federation()
    plan = federation.plan(1)
    before = federation.institutions["ash"].export()
    first = federation.mask(plan, "ash")
    federation.institutions["ash"] = restored(federation, before, random=Stream("second life"))
    second = federation.mask(plan, "ash")
    assert first.update.tobytes() != second.update.tobytes()  # a fresh self-mask, so the lost answer is worth nothing
    made = federation.coordinator(plan)
    made.add(second)
    for name in NAMES[1:]:
        made.add(federation.mask(plan, name))
    made.close()
    federation.unmask(made)
    assert_sum(made.finish(), plan, NAMES)


def restored(federation: Federation, state: bytes, random: Callable[[int], bytes], name: str = "ash") -> InstitutionEpoch:
    return InstitutionEpoch.restore(
        state, identity=federation.identities[name], roster=federation.roster, policy=federation.policy, random=random
    )


def test_the_same_randomness_gives_the_same_bytes() -> None:
    one, other = Federation(), Federation()
    plan = one.plan()
    assert one.mask(plan, "ash").signature == other.mask(plan, "ash").signature
    assert one.institutions["ash"].export() == other.institutions["ash"].export()


def test_a_refusal_changes_nothing() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(1), lost=["elm"])
    ash = federation.institutions["ash"]
    before = ash.export()
    with pytest.raises(EquivocatedSet):
        ash.agree(replace(made.agree_request(), survivors=NAMES[1:]))
    with pytest.raises(ReplayedRound):
        ash.check(federation.plan(1), federation.keys)
    with pytest.raises(UnprovenSet):
        ash.unmask(UnmaskRequest(federation.plan(1), NAMES[:4], {}, dict.fromkeys(NAMES[1:4], b"")))
    assert ash.export() == before


def test_shares_are_given_once_and_then_forgotten() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(1))
    request = made.unmask_request("ash")
    ash = federation.institutions["ash"]
    ash.unmask(request)
    with pytest.raises(ReplayedRound, match="'ash' has given its shares for round 1 already"):
        ash.unmask(request)
    secrets = unpack(ash.export()).secrets
    assert secrets is not None
    assert secrets.answered
    assert (secrets.own_shares, secrets.seal_keys) == (b"", {})


def seeds_of(state: bytes, plan: Plan, name: str) -> dict[str, bytes]:
    """What a thief of a state can derive of a round's pair seeds, stepping every key he finds forward from every round."""
    ratchet = unpack(state).ratchet
    assert ratchet is not None
    reachable = ratchet.at(max(plan.round, ratchet.round))
    return {peer: pair_seed(key, round_context(plan), name, peer) for peer, key in reachable.keys.items()}


def unmasked_by(masked: Masked, seeds: dict[str, bytes], self_seed: bytes) -> bool:
    update, counters = masked.update.copy(), masked.counters.copy()
    masks = [Mask(self_seed, True), *(pair_mask(masked.institution, peer, seed) for peer, seed in seeds.items())]
    apply(update, counters, [inverse(mask) for mask in masks])
    return int(counters[0]) == 1


class Recorded(Stream):
    """Randomness that remembers what was drawn: first of a round is the self-mask seed."""

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.drawn.append(super().__call__(size))
        return self.drawn[-1]


def test_a_state_stolen_after_a_round_cannot_unmask_it_and_one_stolen_before_can() -> None:
    random = Recorded("ash")
    federation = Federation(random=lambda label: random if label.startswith("ash") else Stream(label))
    ash = federation.institutions["ash"]
    for number in (1, 2):
        federation.round(federation.plan(number))
    plan, before = federation.plan(3), ash.export()
    random.drawn.clear()
    masked = federation.mask(plan, "ash")
    self_seed, after = random.drawn[0], ash.export()
    # The test can see: with the state from before the round (and the self-mask seed given) the vector lies open.
    assert unmasked_by(masked, seeds_of(before, plan, "ash"), self_seed)
    assert not unmasked_by(masked, seeds_of(after, plan, "ash"), self_seed)
    assert unpack(after).private_key == b""
    assert self_seed.hex() not in after.decode()
    assert unpack(before).ratchet.keys["elm"].hex() not in after.decode()  # type: ignore[union-attr]


def test_open_is_for_the_pinned_roster_and_the_own_identity() -> None:
    federation = Federation()
    with pytest.raises(WrongRoster, match="'ash' refused epoch 2: it is for another roster"):
        federation.open("ash", epoch=2, roster_digest=bytes(32))
    federation.identities["ash"] = identity("impostor")
    with pytest.raises(WrongRoster, match="'ash' is not on the pinned roster with the identity it has"):
        federation.open("ash")


def test_a_state_of_another_roster_is_lost() -> None:
    federation, other = Federation(), Federation((*NAMES, "fir"))
    with pytest.raises(LostEpoch, match="opened for another roster"):
        restored(other, federation.institutions["ash"].export(), Stream("x"))


@pytest.mark.parametrize("changed", [{"run": "other"}, {"epoch": 2}])
def test_other_runs_and_epochs_are_refused_at_every_step(changed: dict[str, object]) -> None:
    federation = Federation()
    made = federation.masked(federation.plan(1))
    ash, request = federation.institutions["ash"], made.unmask_request("ash")
    plan = federation.plan(2, **changed)
    for refused in (
        lambda: ash.check(plan, federation.keys),
        lambda: ash.agree(AgreeRequest(plan, NAMES[:4])),
        lambda: ash.unmask(replace(request, plan=plan)),
    ):
        with pytest.raises(LostEpoch, match="'ash' holds keys for epoch 1 of run trial, not"):
            refused()


def test_agreeing_twice_on_the_same_set_gives_the_same_signature() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(1), lost=["elm"])
    ash = federation.institutions["ash"]
    assert ash.agree(made.agree_request()) == ash.agree(made.agree_request())


def test_the_whole_cohort_needs_no_second_signature() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(1))
    with pytest.raises(EquivocatedSet, match="Agree is for a smaller set"):
        federation.institutions["ash"].agree(made.agree_request())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"update": np.zeros(6, np.uint16)}, "takes 7 words of 16 bits"),
        ({"update": np.zeros(7, np.uint32)}, "takes 7 words of 16 bits"),
        ({"counters": np.zeros(4, np.uint64)}, "takes 3 counters"),
        ({"counters": np.zeros(3, np.int64)}, "takes 3 counters"),
        ({"counters": np.array([0, 2**62, 0], np.uint64)}, "their sum could overflow"),
        ({"weight": 0}, "weight of 0"),
        ({"weight": 101}, "weight of 101"),
    ],
)
def test_what_does_not_fit_the_plan_is_not_masked(changed: dict[str, object], sentence: str) -> None:
    federation = Federation()
    plan = federation.plan()
    with pytest.raises(IllegalVector, match=sentence):
        federation.mask(plan, "ash", replace(vector_of(plan, "ash"), **changed))  # type: ignore[arg-type]
    federation.mask(plan, "ash")


def test_the_vectors_that_are_given_are_left_as_they_are() -> None:
    federation = Federation()
    plan = federation.plan()
    vector = vector_of(plan, "ash")
    before = vector.update.tobytes(), vector.counters.tobytes()
    federation.mask(plan, "ash", vector)
    assert (vector.update.tobytes(), vector.counters.tobytes()) == before
