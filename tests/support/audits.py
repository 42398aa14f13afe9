"""The audits of a federation's folders, verified with the keys of its roster."""

from __future__ import annotations

from pathlib import Path

from shared.audit.chain import Entry
from shared.audit.keys import open_audit


def audit_of(folder: Path) -> tuple[Entry, ...]:
    """The entries of the audit in a coordinator's or an institution's folder."""
    return open_audit(folder).entries
