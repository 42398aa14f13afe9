"""What left an institution as a table on the terminal, with its sums at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.audit.left import UNKNOWN, Left, bytes_by_form
from shared.printable import one_line

WIDTH = 170
"""Columns of the table where the terminal is narrower, or there is none: digests are not folded."""
FORMS = {
    "masked": "only the sum over all institutions of the round can be read",
    "sealed": "only the institution it is for can read it",
    "clear": "the coordinator can read it: keys and parts of keys, names, signatures, sentences of refusals",
}


def print_left(side: str, rows: Sequence[Left], run: str | None, console: Console | None = None) -> None:
    """Prints the fields that left and how many bytes in which form."""
    out = console or Console()
    out = out if out.width >= WIDTH else Console(file=out.file, width=WIDTH)
    side, what = one_line(side), f" in run {one_line(run)}" if run is not None else ""
    if not rows:
        out.print(f"nothing left {side}{what}", markup=False, highlight=False)
        return
    table = Table(title=escape(f"What left {side}{what}"), title_justify="left")
    for name in ("time", "round", "message", "what it is", "form", "values", "bytes", "SHA-256"):
        table.add_column(name, justify="right" if name in ("round", "values", "bytes") else "left", overflow="fold")
    for row in rows:
        number = "" if row.round is None else str(row.round)
        texts = (row.time[:19], number, row.message, f"{row.name}: {row.what}", row.form)
        table.add_row(*(escape(one_line(text)) for text in texts), str(row.count), f"{row.bytes:,}", escape(one_line(row.sha256[:16])))
    out.print(table)
    for form, size in bytes_by_form(rows).items():
        out.print(f"{one_line(form):>7} {size:>14,} bytes: {FORMS.get(form, UNKNOWN)}", markup=False, highlight=False)
    out.print("What is made of records is masked. Digests in full: --json.", markup=False, highlight=False)
