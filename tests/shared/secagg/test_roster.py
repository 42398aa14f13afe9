from __future__ import annotations

from dataclasses import replace

from shared.secagg.roster import Roster

ROSTER = Roster({"ash": bytes(32), "elm": b"\1" * 32}, b"\2" * 32)


def test_the_digest_does_not_depend_on_order() -> None:
    assert Roster({"elm": b"\1" * 32, "ash": bytes(32)}, b"\2" * 32).digest == ROSTER.digest


def test_every_name_and_key_changes_the_digest() -> None:
    others = [
        replace(ROSTER, coordinator=bytes(32)),
        Roster({"ash": bytes(32)}, b"\2" * 32),
        Roster({"ash": b"\1" * 32, "elm": bytes(32)}, b"\2" * 32),
        Roster({"ashe": bytes(32), "lm": b"\1" * 32}, b"\2" * 32),
    ]
    assert len({roster.digest for roster in (ROSTER, *others)}) == 5
