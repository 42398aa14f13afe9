from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.secagg.errors import ForgedMessage, WrongRoster
from shared.secagg.messages import Layout, Plan
from shared.secagg.signing import names, pack, plan_digest, round_context, sign, verify, verify_epoch_keys, verify_member
from tests.support.secagg import Federation, identity

TEXTS = st.lists(st.text(max_size=6), max_size=5)
PLAN = Plan("trial", 1, 2, bytes(32), bytes(32), ("ash", "elm"), 2, 2, 1, Layout(7, 3), 1.0, 10, b"body", bytes(32))
OTHERS: dict[str, Any] = {
    "run": "tria",
    "epoch": 2,
    "round": 3,
    "roster_digest": bytes(31) + b"\1",
    "cohort": ("ashelm",),
    "threshold": 3,
    "collusion": 0,
    "layout": Layout(7, 3, 32),
    "clip_norm": 1.0000000000000002,
    "weight_cap": 11,
    "body": b"bodx",
    "blob_digest": bytes(31) + b"\1",
    "keys_digest": bytes(31) + b"\1",
    "share_threshold": 3,
    "degree": 2,
    "smallest_cohort": 3,
    "rotation": True,
    "noise": 1.0,
    "count_noise": 1.0,
    "fragments": {"ash": ((0, 3),)},
}


@given(TEXTS, TEXTS)
def test_two_lists_of_fields_never_give_the_same_bytes(one: list[str], other: list[str]) -> None:
    assume(one != other)
    assert pack("label", *one) != pack("label", *other)
    assert names(one) != names(other)


def test_the_label_is_part_of_the_bytes() -> None:
    assert pack("one", b"x") != pack("two", b"x")


def test_every_field_of_a_plan_changes_its_digest_and_the_context() -> None:
    assert set(OTHERS) == {field.name for field in fields(Plan)}
    changed = [replace(PLAN, **{name: value}) for name, value in OTHERS.items()]
    changed += [replace(PLAN, layout=layout) for layout in (Layout(8, 3), Layout(7, 4))]
    others: list[dict[str, Any]] = [{"elm": ((0, 3),)}, {"ash": ((0, 2),)}, {"ash": ((0, 1), (2, 3))}, {"ash": ()}]
    changed += [replace(PLAN, fragments=parts) for parts in others]
    assert len({plan_digest(plan) for plan in (PLAN, *changed)}) == len(changed) + 1
    assert len({round_context(plan) for plan in (PLAN, *changed)}) == len(changed) + 1


def test_a_whole_number_as_clip_norm_is_the_same_plan() -> None:
    # What a wire gives back is a float.
    assert plan_digest(replace(PLAN, clip_norm=1)) == plan_digest(PLAN)


def test_a_signature_holds_for_its_key_and_content_only() -> None:
    key = identity("ash")
    public, signature = key.public_key().public_bytes_raw(), sign(key, b"content")
    verify(public, signature, b"content", "this")
    for wrong in (
        (public, signature, b"other"),
        (public, b"", b"content"),
        (b"", signature, b"content"),
        (bytes(32), signature, b"content"),
    ):
        with pytest.raises(ForgedMessage, match="this does not carry"):
            verify(*wrong, "this")


def test_a_stranger_signs_for_nobody() -> None:
    federation = Federation()
    with pytest.raises(WrongRoster, match="'zebra' is not on the pinned roster"):
        verify_member(federation.roster, "zebra", bytes(64), b"", "the answer")


def test_epoch_keys_are_checked_each() -> None:
    federation = Federation()
    verify_epoch_keys(federation.keys, federation.roster)
    forged = replace(federation.keys[1], epoch=7)
    with pytest.raises(ForgedMessage, match="the epoch key of 'birch'"):
        verify_epoch_keys((federation.keys[0], forged), federation.roster)
    with pytest.raises(WrongRoster, match="another roster"):
        verify_epoch_keys((replace(federation.keys[0], roster_digest=bytes(32)),), federation.roster)
