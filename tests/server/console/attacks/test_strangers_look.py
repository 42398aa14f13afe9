"""Whoever has no session sees nothing, through the real door, gateway and console; and who has one sees no secret and no other's script."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.console.access import CODE_S, MOST_ATTEMPTS, SESSION_S, Access
from server.console.guard import COOKIE, HEADERS
from server.console.paths import LARGEST_FORM, LOGIN, STREAM
from server.console.pulse import MOST_OF_ONE
from server.events import InstitutionRefused, RunStarted
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.audit.chain import COORDINATOR
from shared.audit.writer import AuditLog
from tests.support.console import browser, sign_in
from tests.support.opened import HOUR_S, Opened, make_coordinator, make_member, opened

PAGES = ("/console", "/console/runs", "/console/runs/small-1", "/console/audit", STREAM)
SHOWN = PAGES[:-1]
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>{{ 7 * 7 }}\u202e\x1b[2J"


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A coordinator with members, an open invitation, and a run in which an institution says what no page may believe."""
    base = tmp_path_factory.mktemp("looking")
    folder = make_coordinator(base / "coordinator")
    for name in ("ash", "birch"):
        make_member(folder, base / name)
    site = CoordinatorSite(folder)
    site.store.start_run("small-1", site.config.canonical(), site.roster.digest)
    site.store.add_event("small-1", 1.0, RunStarted(run="small-1", roster=("ash", HOSTILE), rounds=2, resumed=False))
    refused = InstitutionRefused(number=1, institution=HOSTILE, stage="train", code="PolicyRefusal", reason=HOSTILE)
    site.store.add_event("small-1", 2.0, refused)
    site.store.start_run(f"{HOSTILE}/../x", b"{}", b"")
    AuditLog(folder / "audit", COORDINATOR, site.identity).append("membership", event="refused", institution=HOSTILE, reason=HOSTILE)
    site.store.close()
    with opened(folder) as made:
        yield made


@pytest.fixture
def stranger(coordinator: Opened) -> Iterator[httpx.Client]:
    with browser(coordinator) as client:
        yield client


@pytest.fixture
def operator(coordinator: Opened) -> Iterator[httpx.Client]:
    with browser(coordinator) as client:
        assert sign_in(client, coordinator.folder).status_code == 303
        yield client
    Access(coordinator.folder).sign_out_all()


def refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.text) == (403, "forbidden\n")


def raw(coordinator: Opened, content: bytes, *, seconds: float = 10.0) -> bytes:
    """What comes back to these very bytes, which no client library has made proper."""
    trust = ssl.create_default_context(cafile=str(CoordinatorFolder(coordinator.folder).ca))
    with (
        socket.create_connection(("127.0.0.1", coordinator.port), timeout=seconds) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as wire,
    ):
        wire.sendall(content)
        said = b""
        with contextlib.suppress(TimeoutError, ssl.SSLError, ConnectionError):
            while piece := wire.recv(65536):
                said += piece
        return said


# Nobody without a session


@pytest.mark.parametrize("path", [*PAGES, "/console/none", "/console/runs/none", "/console/assets/app.py", "/console?format=json"])
def test_without_a_session_nothing_is_shown_nor_whether_it_is_there(stranger: httpx.Client, path: str) -> None:
    assert refused(stranger.get(path))


def test_the_page_of_signing_in_says_nothing_of_the_federation(coordinator: Opened, stranger: httpx.Client) -> None:
    text = stranger.get(LOGIN).text
    assert "small" not in text
    assert "ash" not in text
    assert {name: stranger.get(LOGIN).headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "{0}x", "x{0}", "{0}; {1}={0}"])
def test_a_forged_cookie_is_none(coordinator: Opened, stranger: httpx.Client, operator: httpx.Client, cookie: str) -> None:
    value = cookie.format(operator.cookies[COOKIE], COOKIE)
    assert refused(stranger.get("/console", headers={"cookie": f"{COOKIE}={value}"}))


def test_an_old_session_and_one_that_was_signed_out_are_none(coordinator: Opened, stranger: httpx.Client) -> None:
    past = Access(coordinator.folder, clock=lambda: time.time() - SESSION_S)
    old, new = past.sign_in(past.make_code(2 * SESSION_S)), sign_in(stranger, coordinator.folder)
    assert old is not None
    assert new.status_code == 303
    assert refused(stranger.get("/console", headers={"cookie": f"{COOKIE}={old}"}))
    kept = stranger.cookies[COOKIE]
    assert stranger.get("/console").status_code == 200
    Access(coordinator.folder).sign_out_all()
    assert refused(stranger.get("/console", headers={"cookie": f"{COOKIE}={kept}"}))


def test_a_session_of_another_coordinator_is_none(coordinator: Opened, stranger: httpx.Client, tmp_path: Path) -> None:
    other = Access(make_coordinator(tmp_path / "other"))
    token = other.sign_in(other.make_code())
    assert refused(stranger.get("/console", headers={"cookie": f"{COOKIE}={token}"}))


def test_a_link_holds_once_and_not_for_ever(coordinator: Opened, stranger: httpx.Client) -> None:
    used = Access(coordinator.folder).make_code()
    assert stranger.post(LOGIN, data={"code": used}).status_code == 303
    stranger.cookies.clear()
    ended = Access(coordinator.folder, clock=lambda: time.time() - 2 * CODE_S).make_code()
    for code in (used, ended):
        answer = stranger.post(LOGIN, data={"code": code})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert refused(stranger.get("/console"))


def test_guessing_voids_the_code_that_it_names_and_nobody_else_s(coordinator: Opened, stranger: httpx.Client) -> None:
    aimed, other = Access(coordinator.folder).make_code(), Access(coordinator.folder).make_code()
    guesses = [stranger.post(LOGIN, data={"code": f"{aimed[:17]}{number:043d}"}) for number in range(MOST_ATTEMPTS)]
    assert {answer.status_code for answer in guesses} == {403}
    assert stranger.post(LOGIN, data={"code": aimed}).status_code == 403
    assert stranger.post(LOGIN, data={"code": other}).status_code == 303


def test_unknown_used_and_wrong_codes_are_answered_alike(coordinator: Opened, stranger: httpx.Client) -> None:
    used, aimed = Access(coordinator.folder).make_code(), Access(coordinator.folder).make_code()
    Access(coordinator.folder).sign_in(used)
    codes = (used, f"{aimed[:17]}{'A' * 43}", f"{'0' * 16}.{'A' * 43}", "nonsense")
    assert len({stranger.post(LOGIN, data={"code": code}).text for code in codes}) == 1


def test_a_code_in_the_query_is_not_taken(coordinator: Opened, stranger: httpx.Client) -> None:
    code = Access(coordinator.folder).make_code()
    assert refused(stranger.post(f"{LOGIN}?code={code}"))
    assert Access(coordinator.folder).names_open_code(code)


# No way around


@pytest.mark.parametrize(
    "target",
    [
        "/console/../v1/control/start-run",
        "/console/..%2fv1/control/start-run",
        "/console/%2e%2e/v1/control/start-run",
        "/console//v1/control/start-run",
        "/console/..;/v1/control/start-run",
        "/console\\..\\v1\\control",
        "//console",
        "/./console",
        "/console/",
        "/CONSOLE",
        "/console%00",
        "/console/runs/small-1%2f..%2f..",
        "/v1/fleet/../../console",
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/docs",
        "/openapi.json",
        "/health",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_path_tricks_are_refused_also_with_a_session(coordinator: Opened, operator: httpx.Client, target: str, method: str) -> None:
    cookie = f"{COOKIE}={operator.cookies[COOKIE]}"
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert raw(coordinator, head.encode()).split(b" ")[1] in (b"403", b"400")


@pytest.mark.parametrize(
    "target", ["https://127.0.0.1:1/console", "http://superlink/v1/control/start-run", "http://x/console/../v1/control/a"]
)
def test_the_absolute_form_leads_nowhere_else(coordinator: Opened, target: str) -> None:
    said = raw(coordinator, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert said.split(b" ")[1] in (b"403", b"400")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND"])
def test_only_reading_and_signing_in_and_out(operator: httpx.Client, method: str) -> None:
    assert operator.request(method, "/console").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 4\r\nContent-Length: 44",
        "Content-Length: +4",
        "X: a\r\n Transfer-Encoding: chunked",
    ],
)
def test_no_second_request_hides_in_a_first(coordinator: Opened, operator: httpx.Client, headers: str) -> None:
    """However lengths are said, what is behind is never taken inwards for a request: nobody gets the operator's page."""
    hidden = f"GET /console HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={'A' * 43}\r\n\r\n"
    kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close"
    head = f"POST /console/login HTTP/1.1\r\nHost: x\r\n{kind}\r\n{headers}\r\n\r\n"
    said = raw(coordinator, f"{head}0\r\n\r\n{hidden}".encode(), seconds=3.0)
    assert said.count(b"HTTP/1.1 200") == 0
    assert b"birch" not in said
    assert operator.get("/console").status_code == 200


def test_headers_that_proxies_believe_are_not_believed(stranger: httpx.Client) -> None:
    tricks = {
        "x-original-url": "/console",
        "x-rewrite-url": "/console",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "evil.example",
        "x-http-method-override": "GET",
        "forwarded": "for=127.0.0.1",
    }
    assert refused(stranger.get("/", headers=tricks))
    assert refused(stranger.get("/console", headers=tricks))


def test_a_large_form_and_one_that_does_not_come(coordinator: Opened, stranger: httpx.Client) -> None:
    assert stranger.post(LOGIN, content=bytes(LARGEST_FORM + 1)).status_code == 413
    announced = b"POST /console/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + b"a" * (LARGEST_FORM + 1)
    assert b" 413 " in raw(coordinator, announced, seconds=1.0).split(b"\r\n")[0]
    begun = b"POST /console/login HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nco"
    waiting = threading.Thread(target=raw, args=(coordinator, begun), kwargs={"seconds": 1.0})
    waiting.start()
    assert stranger.get(LOGIN).status_code == 200, "who waits holds nobody up"
    waiting.join(20)


def test_another_site_s_forms_are_refused(coordinator: Opened, operator: httpx.Client) -> None:
    code = Access(coordinator.folder).make_code()
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert refused(operator.post(LOGIN, data={"code": code}, headers=headers))
        assert refused(operator.post("/console/logout", data={"form": "guessed"}, headers=headers))
    assert refused(operator.post("/console/logout", data={"form": "guessed"}))
    assert operator.get("/console").status_code == 200
    own = {"origin": str(operator.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert operator.post(LOGIN, data={"code": code}, headers=own).status_code == 303


# Streams


@contextlib.contextmanager
def stream(coordinator: Opened, token: str) -> Iterator[tuple[int, Iterator[str]]]:
    with browser(coordinator) as client, client.stream("GET", STREAM, headers={"cookie": f"{COOKIE}={token}"}) as answer:
        yield answer.status_code, answer.iter_lines()


def test_a_stream_says_a_change_and_ends_with_the_session(coordinator: Opened, operator: httpx.Client) -> None:
    token = operator.cookies[COOKIE]
    with stream(coordinator, token) as (code, lines):
        assert code == 200
        assert next(lines) == "event: changed"
        before = next(lines)
        coordinator.invite("newcomer", HOUR_S)
        after = next(line for line in lines if line.startswith("data: "))
        assert after != before
        Access(coordinator.folder).sign_out(token)
        assert not [line for line in lines if line.startswith("data: ") and line in (before, after)]


def test_streams_are_bounded_and_pages_go_on(coordinator: Opened, operator: httpx.Client) -> None:
    token = operator.cookies[COOKIE]
    with contextlib.ExitStack() as held:
        codes = [held.enter_context(stream(coordinator, token))[0] for _ in range(MOST_OF_ONE + 2)]
        assert codes == [200] * MOST_OF_ONE + [503] * 2
        assert operator.get("/console").status_code == 200


def test_a_reader_that_does_not_read_holds_nobody_up(coordinator: Opened, operator: httpx.Client) -> None:
    token = operator.cookies[COOKIE]
    request = f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={token}\r\n\r\n".encode()
    trust = ssl.create_default_context(cafile=str(CoordinatorFolder(coordinator.folder).ca))
    with contextlib.ExitStack() as held:
        for _ in range(MOST_OF_ONE):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", coordinator.port), timeout=10))
            held.enter_context(trust.wrap_socket(plain, server_hostname="localhost")).sendall(request)
        for path in SHOWN:
            assert operator.get(path).status_code == 200


# What a page shows


def test_what_a_peer_said_is_text(coordinator: Opened, operator: httpx.Client) -> None:
    for path in SHOWN:
        text = operator.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert not {"\u202e", "\x1b"} & set(text)
        assert text.count("<script") == 1
    assert "{{ 7 * 7 }}" in operator.get("/console/runs/small-1").text
    assert "&lt;script&gt;alert(1)" in operator.get("/console/runs/small-1").text
    odd = next(line for line in operator.get("/console/runs?format=json").json()["runs"] if line["run"].startswith('"'))
    assert operator.get(f"/console/runs/{odd['link']}").status_code == 200


def forms_of(content: bytes) -> Iterator[str]:
    """How a secret file's content could have got into a page: as it is, in hex, in base64, or a line of it."""
    for part in (content, *content.split(b"\n")):
        if len(part) >= 16 and not part.startswith(b"-----"):
            yield part[:24].decode("latin-1")
            yield part[:16].hex()
            yield base64.b64encode(part)[:20].decode()


def test_no_secret_of_the_folder_is_in_any_page(coordinator: Opened, operator: httpx.Client) -> None:
    token = coordinator.invite("secretive", HOUR_S)
    code = Access(coordinator.folder).make_code()
    secrets = {str(path): path.read_bytes() for path in (coordinator.folder / "keys").iterdir() if path.stat().st_mode & 0o077 == 0}
    assert len(secrets) >= 3
    secrets |= {"access": (coordinator.folder / "console" / "access.json").read_bytes()}
    kept = json.loads(secrets["access"])
    words = [one["sha256"] for one in (*kept["codes"], *kept["sessions"])]
    words += [token.seed.hex(), token.text(), code, code.partition(".")[2], operator.cookies[COOKIE]]
    for path in (*SHOWN, *(f"{page}?format=json" for page in SHOWN), LOGIN):
        text = operator.get(path).text
        assert not [word for word in words if word in text], path
        assert not [name for name, content in secrets.items() for form in forms_of(content) if form in text], path
    assert "secretive" in operator.get("/console").text


def test_the_secrets_would_be_found() -> None:
    assert all(
        form in page for form, page in zip(forms_of(b"x" * 40), ("x" * 40, "78" * 40, base64.b64encode(b"x" * 40).decode()), strict=False)
    )
