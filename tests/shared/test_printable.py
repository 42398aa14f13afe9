from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.printable import LONGEST_LINE, one_line


@given(st.text(st.characters()))
def test_any_text_is_one_printable_line_that_can_be_encoded(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) == min(len(text), LONGEST_LINE)
    line.encode()


def test_what_is_printable_stays_and_nothing_moves_a_cursor() -> None:
    assert one_line("St. Märy, 3 °C") == "St. Märy, 3 °C"
    assert one_line("a\x1b[2Jb\nc\ud800\u202e") == "a\ufffd[2Jb\ufffdc\ufffd\ufffd"
    assert len(one_line("x" * 5000)) == LONGEST_LINE
