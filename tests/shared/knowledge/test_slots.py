"""Slots of salted hashes: what institutions with one salt agree on, and nobody else can make."""

from __future__ import annotations

import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProtocolError
from shared.knowledge.slots import NONE, SLOTS, agreed_seed, kept_slots, own_slots, presence, rows_of, slot_words, unit_of

NAMES = st.lists(
    st.text("abcdefgh ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=40, unique_by=lambda name: name.split()[0]
)
SALTS = st.binary(min_size=16, max_size=32)
SLOT_COUNTS = st.sampled_from([64, 128, 1024])


@given(NAMES, NAMES, SALTS, SLOT_COUNTS)
def test_two_institutions_with_one_salt_agree_on_every_entity_that_each_has_alone_in_its_slot(
    ours: list[str], theirs: list[str], salt: bytes, slots: int
) -> None:
    one, other = (dict(zip(names, own_slots(names, salt, slots).tolist(), strict=True)) for names in (ours, theirs))
    both = [name for name in ours if name in other and NONE not in (one[name], other[name])]
    assert [one[name] for name in both] == [other[name] for name in both]


def test_another_salt_gives_other_slots_which_agree_by_chance_alone() -> None:
    names = [f"entity {number}" for number in range(300)]
    one, other = (own_slots(names, salt * 16, 65_536) for salt in (b"a", b"b"))
    assert (one == other).mean() < 0.02


def test_the_hash_is_the_keyed_one_of_the_folded_name() -> None:
    expected = int.from_bytes(hmac.digest(b"s" * 16, b"fedstill/entity/v1\0acute myocarditis", "sha256"), "big") % 1024
    assert own_slots(["Acute  Myocarditis "], b"s" * 16, 1024).tolist() == [expected]


@given(SALTS, SALTS, st.integers(0, 2**62), st.integers(0, 2**62))
def test_the_agreed_seed_is_the_run_s_and_the_salt_s(one: bytes, other: bytes, run: int, next_run: int) -> None:
    assert 0 <= agreed_seed(one, run) == agreed_seed(one, run) < 2**64
    assert (agreed_seed(one, run) == agreed_seed(other, next_run)) == ((one, run) == (other, next_run))


@given(NAMES, SALTS, SLOT_COUNTS)
def test_a_slot_with_two_of_one_s_own_is_not_used(names: list[str], salt: bytes, slots: int) -> None:
    own = own_slots(names, salt, slots)
    used = own[own != NONE]
    assert len(np.unique(used)) == len(used)
    alone = [own_slots([name], salt, slots)[0] for name in names]
    assert all(alone.count(slot) > 1 for slot, found in zip(alone, own, strict=True) if found == NONE)
    assert presence(own, slots).sum() == len(used)
    assert set(np.flatnonzero(presence(own, slots))) == set(used)


def test_names_that_differ_in_case_alone_fall_together() -> None:
    assert own_slots(["Fever", "fever", "cough"], b"s" * 16, 4096)[:2].tolist() == [NONE, NONE]


@given(st.sets(st.integers(0, 127)), st.lists(st.integers(-1, 127), max_size=30))
def test_kept_slots_travel_whole_and_say_which_row_is_whose(slots: set[int], own: list[int]) -> None:
    kept = kept_slots({SLOTS: slot_words(sorted(slots), 128)}, 128)
    assert kept.tolist() == sorted(slots)
    rows = rows_of(np.array(own, dtype=np.int64), kept)
    for slot, row in zip(own, rows.tolist(), strict=True):
        assert (row == NONE) == (slot not in slots)
        assert row == NONE or kept[row] == slot


@pytest.mark.parametrize("words", [None, np.zeros(3, np.uint64), np.zeros(2, np.int64), np.zeros((1, 2), np.uint64)])
def test_other_slots_than_the_plan_s_are_refused(words: object) -> None:
    with pytest.raises(ProtocolError, match="shares entities of 128 slots, and they did not come whole"):
        kept_slots({} if words is None else {SLOTS: words}, 128)  # type: ignore[dict-item]


@given(st.floats(0.01, 100.0), st.integers(1, 2000), st.integers(2, 128))
def test_a_change_of_one_in_each_number_is_as_long_as_the_scale_however_large_the_table(scale: float, kept: int, width: int) -> None:
    assert np.linalg.norm(np.full(kept * width, unit_of(scale, kept, width))) == pytest.approx(scale)
