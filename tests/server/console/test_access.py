"""A code signs in once and for a while, a session lasts a working day, and the disk tells nobody either."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.access import CODE_S, MOST_ATTEMPTS, MOST_CODES, MOST_SESSIONS, SESSION_S, Access, form_token


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(tmp_path: Path, clock: Clock) -> Access:
    return Access(tmp_path, clock=clock)


def wrong(code: str) -> str:
    """The same id with another secret."""
    return f"{code[:17]}{'A' * 43}"


def token_of(access: Access) -> str:
    token = access.sign_in(access.make_code())
    assert token is not None
    return token


def test_a_code_signs_in_once(access: Access) -> None:
    code = access.make_code()
    assert access.names_open_code(code)
    token = access.sign_in(code)
    assert token is not None
    assert access.holds(token)
    assert access.sign_in(code) is None
    assert not access.names_open_code(code)


def test_a_code_ends(access: Access, clock: Clock) -> None:
    code, longer = access.make_code(), access.make_code(2 * CODE_S)
    clock.now += CODE_S
    assert access.sign_in(code) is None
    assert access.sign_in(longer) is not None


def test_a_session_ends_however_it_was_used(access: Access, clock: Clock) -> None:
    token = token_of(access)
    clock.now += SESSION_S - 1
    assert access.holds(token)
    clock.now += 1
    assert not access.holds(token)


def test_wrong_secrets_void_a_code_after_a_few(access: Access) -> None:
    code, bystander = access.make_code(), access.make_code()
    for _ in range(MOST_ATTEMPTS):
        assert access.names_open_code(code)
        assert access.sign_in(wrong(code)) is None
    assert access.sign_in(code) is None
    assert access.sign_in(bystander) is not None


@pytest.mark.parametrize("shape", ["", "x", "0" * 16, "0" * 16 + "." + "A" * 43, "é" * 60, "0" * 16 + "." + "A" * 43 + "\n", "." * 60])
def test_what_names_no_code_changes_nothing(access: Access, tmp_path: Path, shape: str) -> None:
    code = access.make_code()
    before = (tmp_path / "console" / "access.json").read_bytes()
    assert access.sign_in(shape) is None
    assert not access.names_open_code(shape)
    assert (tmp_path / "console" / "access.json").read_bytes() == before
    assert access.sign_in(code) is not None


@given(st.text(max_size=60))
def test_no_text_is_a_session(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    access = Access(tmp_path_factory.mktemp("access"))
    token_of(access)
    assert not access.holds(text)


def test_signing_out_ends_one_session_or_all_with_their_codes(access: Access) -> None:
    one, other, code = token_of(access), token_of(access), access.make_code()
    access.sign_out(one)
    access.sign_out("nobody's")
    assert (access.holds(one), access.holds(other)) == (False, True)
    assert access.sign_out_all() == 1
    assert not access.holds(other)
    assert access.sign_in(code) is None


def test_codes_and_sessions_are_bounded(access: Access) -> None:
    codes = [access.make_code() for _ in range(MOST_CODES + 1)]
    assert [access.names_open_code(code) for code in codes] == [False] + [True] * MOST_CODES
    tokens = [token_of(access) for _ in range(MOST_SESSIONS + 1)]
    assert [access.holds(token) for token in tokens] == [False] + [True] * MOST_SESSIONS


def test_nothing_on_the_disk_signs_in(access: Access, tmp_path: Path) -> None:
    code, token = access.make_code(), token_of(access)
    path = tmp_path / "console" / "access.json"
    kept = path.read_text()
    assert token not in kept
    assert code.partition(".")[2] not in kept
    assert hashlib.sha256(token.encode()).hexdigest() in kept
    assert not access.holds(hashlib.sha256(token.encode()).hexdigest())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sessions": 3}', b"\xff"])
def test_a_file_that_was_changed_lets_nobody_in_and_can_be_written_anew(access: Access, tmp_path: Path, content: bytes) -> None:
    token = token_of(access)
    (tmp_path / "console" / "access.json").write_bytes(content)
    assert not access.holds(token)
    assert access.holds(token_of(access))


def test_of_many_who_spend_one_code_at_once_one_is_let_in(access: Access, tmp_path: Path, clock: Clock) -> None:
    code = access.make_code()
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: Access(tmp_path, clock=clock).sign_in(code), range(16)))
    assert sum(token is not None for token in tokens) == 1


def test_signing_all_out_where_nobody_ever_was_makes_nothing(tmp_path: Path) -> None:
    assert Access(tmp_path).sign_out_all() == 0
    assert list(tmp_path.iterdir()) == []


def test_another_process_sees_it_at_once(access: Access, tmp_path: Path, clock: Clock) -> None:
    other = Access(tmp_path, clock=clock)
    token = other.sign_in(access.make_code())
    assert token is not None
    assert access.holds(token)
    other.sign_out_all()
    assert not access.holds(token)


def test_what_a_form_carries_is_not_the_session() -> None:
    assert form_token("a") != form_token("b")
    assert form_token("a") != hashlib.sha256(b"a").hexdigest()
