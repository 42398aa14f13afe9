"""Which key an audit must carry: that of its side on the roster beside it, or one that a person names."""

from __future__ import annotations

from pathlib import Path

from shared.audit.chain import COORDINATOR, LOG_NAME, institution_side
from shared.audit.verify import Trail, side_of, verify
from shared.errors import IdentityError
from shared.identity import load_roster
from shared.printable import one_line
from shared.secagg.roster import Roster


def open_audit(path: Path, *, roster: Path | None = None) -> Trail:
    """The verified audit at ``path``: a coordinator's or an institution's folder, its ``audit/``, or the log in it.

    ``roster`` is the ``roster.json`` whose keys count; without it the one in the side's own folder. That one proves as much as the
    folder: who doubts the folder names a roster of their own. Raises as :func:`~shared.audit.verify.verify`, :class:`IdentityError` if
    the roster does not know the side.
    """
    folder = audit_folder(path)
    pinned = roster if roster is not None else folder.parent / "roster.json"
    return verify(folder, key_of(side_of(folder), load_roster(pinned), pinned))


def audit_folder(path: Path) -> Path:
    """The folder in which the audit at ``path`` lies."""
    if path.name == LOG_NAME:
        return path.parent
    return path / "audit" if (path / "audit").is_dir() else path


def key_of(side: str, roster: Roster, where: Path) -> bytes:
    """The raw public key of a side; raises :class:`IdentityError` if the roster (read from ``where``) does not have it."""
    if side == COORDINATOR:
        return roster.coordinator
    for name, key in roster.members.items():
        if institution_side(name) == side:
            return key
    raise IdentityError(f"the roster {where} does not know {one_line(side)}, whose audit this is said to be; name another with --roster")
