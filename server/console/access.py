"""Who may see the console: codes with which one signs in once, and sessions. Only hashes are on the disk, in one private file.

``fedstill coordinator console`` makes a code, the console's process spends it: both change ``console/access.json`` (0600) under one lock.
A code is ``ID.SECRET``. The id is public and finds the code; the secret has 256 bits. Who tries codes must name one that is open before
anything is counted against it, so that strangers cannot void the operator's; five wrong secrets void it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from shared.files import PRIVATE_MODE, write_atomic
from shared.frozen import Frozen

CODE_S, LONGEST_CODE_S = 900.0, 86_400.0
"""Seconds for which a code holds unless another time is asked for, and the longest that can be."""
SESSION_S = 8 * 3600.0
"""Seconds after which a session ends, whatever was done in it: a working day."""
MOST_ATTEMPTS = 5
"""Wrong secrets after which a code is void."""
MOST_CODES, MOST_SESSIONS = 8, 32
"""Open codes and sessions at a time; one more ends the oldest."""
_CODE = re.compile(r"[0-9a-f]{16}\.[A-Za-z0-9_-]{43}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class _Code(Frozen):
    id: str
    sha256: str
    expires: float
    attempts: int = 0


class _Session(Frozen):
    sha256: str
    expires: float


class _State(Frozen):
    codes: tuple[_Code, ...] = ()
    sessions: tuple[_Session, ...] = ()


class Access:
    """The codes and sessions of one coordinator's folder."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = folder / "console" / "access.json", clock

    def make_code(self, lasts_s: float = CODE_S) -> str:
        """A new code, which is nowhere kept; with more than :data:`MOST_CODES` open ones the oldest is void."""
        name, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        with self._changing() as state:
            made = _Code(id=name, sha256=_digest(secret), expires=self._clock() + lasts_s)
            self._write(state.model_copy(update={"codes": (*state.codes, made)[-MOST_CODES:]}))
        return f"{name}.{secret}"

    def names_open_code(self, code: str) -> bool:
        """Whether ``code`` names one that is open, with the right secret or not. Changes nothing."""
        return _CODE.fullmatch(code) is not None and any(one.id == code[:16] for one in self._read().codes)

    def sign_in(self, code: str) -> str | None:
        """Spends a code for a new session's token; ``None`` for every code that does not hold, whatever is wrong with it."""
        if _CODE.fullmatch(code) is None:
            return None
        name, _, secret = code.partition(".")
        with self._changing() as state:
            found = next((one for one in state.codes if one.id == name), None)
            if found is None:
                return None
            others = tuple(one for one in state.codes if one is not found)
            if not hmac.compare_digest(found.sha256, _digest(secret)):
                tried = found.model_copy(update={"attempts": found.attempts + 1})
                left = (*others, tried) if tried.attempts < MOST_ATTEMPTS else others
                self._write(state.model_copy(update={"codes": left}))
                return None
            token = secrets.token_urlsafe(32)
            made = _Session(sha256=_digest(token), expires=self._clock() + SESSION_S)
            self._write(_State(codes=others, sessions=(*state.sessions, made)[-MOST_SESSIONS:]))
        return token

    def holds(self, token: str) -> bool:
        """Whether ``token`` is that of a session which has not ended: asked at every request, from what is on disk."""
        if _TOKEN.fullmatch(token) is None:
            return False
        digest = _digest(token)
        return any(hmac.compare_digest(one.sha256, digest) for one in self._read().sessions)

    def sign_out(self, token: str) -> None:
        """Ends the session of ``token``; nothing if there is none."""
        with self._changing() as state:
            self._write(state.model_copy(update={"sessions": tuple(one for one in state.sessions if one.sha256 != _digest(token))}))

    def sign_out_all(self) -> int:
        """Ends every session and voids every open code; returns how many sessions there were. Makes no folder where there was none."""
        if not self._path.parent.is_dir():
            return 0
        with self._changing() as state:
            self._write(_State())
        return len(state.sessions)

    def _read(self) -> _State:
        """What holds now; nothing where the file is missing or was changed: then nobody is signed in."""
        try:
            state = _State.parse(self._path.read_bytes())
        except (OSError, ValidationError):
            return _State()
        now = self._clock()
        return _State(
            codes=tuple(one for one in state.codes if one.expires > now), sessions=tuple(one for one in state.sessions if one.expires > now)
        )

    def _write(self, state: _State) -> None:
        write_atomic(self._path, state.model_dump_json().encode(), mode=PRIVATE_MODE)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_State]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._path.parent / "lock").open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()


def form_token(token: str) -> str:
    """What a session's own forms carry, and another site cannot know: it follows from the session and does not tell it."""
    return hashlib.sha256(b"fedstill console form\0" + token.encode()).hexdigest()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
