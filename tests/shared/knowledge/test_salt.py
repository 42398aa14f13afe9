from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import IdentityError, KnowledgeError, MissingFileError
from shared.files import write_atomic
from shared.knowledge.salt import SALT_BYTES, make_salt, read_salt


def test_a_salt_is_made_once_for_its_owner_s_eyes(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "salt"
    make_salt(path)
    assert path.stat().st_mode & 0o077 == 0
    first = read_salt(path)
    assert len(first) == SALT_BYTES
    with pytest.raises(IdentityError, match="there is a key at"):
        make_salt(path)
    make_salt(tmp_path / "another")
    assert read_salt(tmp_path / "another") != first == read_salt(path)


def test_one_that_others_can_read_or_guess_is_refused(tmp_path: Path) -> None:
    write_atomic(tmp_path / "open", bytes(32))
    write_atomic(tmp_path / "short", bytes(15), mode=0o600)
    with pytest.raises(IdentityError, match="open to other users"):
        read_salt(tmp_path / "open")
    with pytest.raises(KnowledgeError, match="15 bytes of at least 16; make one with `fedstill client salt FILE`"):
        read_salt(tmp_path / "short")
    with pytest.raises(MissingFileError):
        read_salt(tmp_path / "none")
