from __future__ import annotations

import io

from rich.console import Console

from fedstill.leaving import print_left
from shared.audit.left import Left


def row(form: str, size: int) -> Left:
    return Left("2026-01-01T00:00:00.000Z", "trial", 3, "train", "update", "how [/] it changes", form, 2, size, "ab" * 32)


def test_the_table_and_its_sums() -> None:
    out = io.StringIO()
    print_left("institution/ash", [row("masked", 1000), row("masked", 234), row("clear", 5)], "trial", Console(file=out, width=80))
    said = out.getvalue()
    assert "What left institution/ash in run trial" in said
    assert "how [/] it" in said
    assert "1,234 bytes: only the sum" in said
    assert " 5 bytes: the coordinator can read it" in said
    assert "abababababababab" in said


def test_nothing_that_a_side_wrote_moves_a_cursor_or_is_markup() -> None:
    out, odd = io.StringIO(), "\x1b[2J[red]\ud800"
    rows = [Left(odd, odd, 3, odd, odd, odd, odd, 2, 5, odd)]
    print_left(odd, rows, odd, Console(file=out, width=400))
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("[red]") >= 6
    out.getvalue().encode()
    print_left(odd, [], odd, Console(file=out, width=400))
    assert "\x1b" not in out.getvalue()
