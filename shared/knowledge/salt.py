"""The salt that institutions agree on among themselves, so that the hashes of their entities agree and nobody else can make them."""

from __future__ import annotations

import os
from pathlib import Path

from shared.errors import KnowledgeError
from shared.files import PRIVATE_MODE, write_atomic
from shared.identity import read_private, refuse_overwriting

SALT_BYTES = 32
"""Bytes of a salt that is made here."""
LEAST_BYTES = 16
"""Fewer could be guessed, and with them every name."""


def make_salt(path: Path) -> None:
    """Makes a new salt at ``path``, which its owner alone may read. Raises :class:`IdentityError` where there is a file already."""
    refuse_overwriting(path)
    write_atomic(path, os.urandom(SALT_BYTES), mode=PRIVATE_MODE)


def read_salt(path: Path) -> bytes:
    """The salt at ``path``.

    Raises :class:`KnowledgeError` for one of fewer than :data:`LEAST_BYTES`, :class:`IdentityError` where others than its owner can read
    it, :class:`MissingFileError` where there is none.
    """
    salt = read_private(path)
    if len(salt) < LEAST_BYTES:
        raise KnowledgeError(f"the salt {path} has {len(salt)} bytes of at least {LEAST_BYTES}; make one with `fedstill client salt FILE`")
    return salt
