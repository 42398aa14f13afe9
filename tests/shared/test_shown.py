"""What a peer says stays one line, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.shown import LONGEST_SENTENCE, one_line


def test_what_a_peer_says_cannot_move_a_cursor() -> None:
    assert one_line("no\x1b[2J\nyes") == "no\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}yes"
    assert len(one_line("x" * 10_000)) == LONGEST_SENTENCE


@given(st.text(max_size=60))
def test_all_of_it_is_printable_and_what_was_stays(said: str) -> None:
    shown = one_line(said)
    assert shown.isprintable()
    assert len(shown) == len(said)
    assert all(one == other or not other.isprintable() for one, other in zip(shown, said, strict=True))
