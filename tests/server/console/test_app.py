"""The pages by real requests: what is on them, as HTML and as JSON, and how one signs in and out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from server.console.access import SESSION_S, Access, form_token
from server.console.app import MOST_TRIES
from server.console.guard import COOKIE
from server.console.paths import LARGEST_FORM, LOGIN, LOGOUT
from shared.errors import ResourceError
from tests.support.console import ask, get, played

PAGES = ["/console", "/console/runs", "/console/runs/trial", "/console/audit"]
VOID = {"meta", "link", "input", "line", "polyline", "circle"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return played(tmp_path_factory.mktemp("console")).coordinator


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed, in order; notes what would load, run or style something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.odd: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        names = dict(attrs)
        self.loads += [str(names[name]) for name in ("src", "href", "action") if name in names]
        self.odd += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        self.odd += [tag] if tag in ("style", "iframe", "object", "embed", "base") else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", [*PAGES, "/console/login", "/console/none", "/console/runs/none"])
def test_a_page_is_whole_and_loads_nothing_from_elsewhere(folder: Path, path: str) -> None:
    answer = get(folder, path)
    read = Reader(answer.text)
    assert read.open == []
    assert read.odd == []
    assert all(place.startswith("/console") for place in read.loads)
    assert answer.text.count("<script") == 1


@pytest.mark.parametrize("path", PAGES)
def test_a_program_reads_the_same_as_json(folder: Path, path: str) -> None:
    by_query = get(folder, path, params={"format": "json"}).json()
    by_header = get(folder, path, headers={"accept": "application/json"}).json()
    assert set(by_query) == set(by_header)
    assert "<html" in get(folder, path).text


def test_what_is_on_the_pages(folder: Path) -> None:
    federation, run, audit = (get(folder, path).text for path in ("/console", "/console/runs/trial", "/console/audit"))
    assert all(name in federation for name in ("ash", "birch", "cedar"))
    assert 'href="/console/runs/trial"' in get(folder, "/console/runs").text
    assert "<svg" in run
    assert "Same answer as float" in run
    assert "whole" in audit
    assert get(folder, "/console/runs/trial", params={"format": "json"}).json()["line"]["status"] == "finished"


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=1e9", "page=99999999999999999999", "page="])
def test_a_page_number_that_is_none_is_no_page(folder: Path, query: str) -> None:
    assert get(folder, f"/console/audit?{query}").status_code == 404


@pytest.mark.parametrize("name", ["console.txt", "app.py", "%2e%2e%2fapp.py", "..%2f__init__.py"])
def test_of_the_assets_only_those_that_are_named(folder: Path, name: str) -> None:
    assert get(folder, f"/console/assets/{name}").status_code == 404
    assert get(folder, "/console/assets/console.js").headers["content-type"].startswith("text/javascript")


def test_fastapi_s_own_pages_are_not_there(folder: Path) -> None:
    assert {get(folder, path).status_code for path in ("/docs", "/redoc", "/openapi.json", "/console/docs")} == {404}


def test_only_reading_and_signing_in_and_out_is_possible(folder: Path) -> None:
    for path in PAGES:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert ask(folder, lambda client, m=method, p=path: client.request(m, p)).status_code == 405  # type: ignore[misc]


def test_looking_changes_nothing(folder: Path) -> None:
    def content() -> dict[Path, bytes]:
        kept = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "console" and "store.sqlite-" not in path.name)
        return {path: path.read_bytes() for path in kept}

    before = content()
    for path in PAGES:
        get(folder, path)
    assert content() == before


def test_the_cookie_is_for_this_host_and_no_script(folder: Path) -> None:
    code = Access(folder).make_code()
    answer = ask(folder, lambda client: client.post(LOGIN, data={"code": code}), signed_in=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=")
    assert {word.lower() for word in attributes} == {"httponly", "secure", "samesite=strict", "path=/", f"max-age={int(SESSION_S)}"}


def test_signing_out_ends_the_session_and_needs_the_page_s_own_form(folder: Path) -> None:
    async def run(client: httpx.AsyncClient) -> list[int]:
        token = client.cookies[COOKIE]
        codes = [
            (await client.post(LOGOUT, data=data)).status_code for data in ({"other": "x"}, {"form": "x"}, {"form": form_token("other")})
        ]
        foreign = {"origin": "https://evil.example"}
        codes.append((await client.post(LOGOUT, data={"form": form_token(token)}, headers=foreign)).status_code)
        codes.append((await client.get("/console")).status_code)
        assert form_token(token) in (await client.get("/console")).text
        codes.append((await client.post(LOGOUT, data={"form": form_token(token)})).status_code)
        client.cookies.set(COOKIE, token, domain="fl.example.org")
        codes.append((await client.get("/console")).status_code)
        return codes

    assert ask(folder, run) == [403, 403, 403, 403, 200, 303, 403]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"code=a", "text/plain", 415),
        (b'{"code": "a"}', "application/json", 415),
        (b"code=" + b"a" * LARGEST_FORM, "application/x-www-form-urlencoded", 413),
        (b"code=\xff", "application/x-www-form-urlencoded", 403),
        (b"code", "application/x-www-form-urlencoded", 403),
        (b"a=1&b=2&c=3&d=4&e=5", "application/x-www-form-urlencoded", 403),
        (b"", "application/x-www-form-urlencoded", 403),
    ],
)
def test_forms_that_are_none(folder: Path, content: bytes, kind: str, status: int) -> None:
    headers = {"content-type": kind}
    assert ask(folder, lambda client: client.post(LOGIN, content=content, headers=headers), signed_in=False).status_code == status


def test_a_code_that_is_given_twice_is_none(folder: Path) -> None:
    code = Access(folder).make_code()
    content, headers = f"code={code}&code={code}".encode(), {"content-type": "application/x-www-form-urlencoded"}
    assert ask(folder, lambda client: client.post(LOGIN, content=content, headers=headers), signed_in=False).status_code == 403
    assert Access(folder).names_open_code(code)


def test_another_site_s_form_signs_nobody_in_and_spends_no_code(folder: Path) -> None:
    code, headers = Access(folder).make_code(), {"origin": "https://evil.example"}
    assert ask(folder, lambda client: client.post(LOGIN, data={"code": code}, headers=headers), signed_in=False).status_code == 403
    assert Access(folder).names_open_code(code)


def test_guessing_is_held_up_and_who_has_a_code_is_not(folder: Path) -> None:
    code = Access(folder).make_code()

    async def run(client: httpx.AsyncClient) -> list[int]:
        guesses = [client.post(LOGIN, data={"code": f"{number:016x}.{'A' * 43}"}) for number in range(MOST_TRIES + 5)]
        codes = [answer.status_code for answer in await asyncio.gather(*guesses)]
        return [*codes, (await client.post(LOGIN, data={"code": code})).status_code]

    *guessed, own = ask(folder, run, signed_in=False)
    assert sorted(guessed) == [403] * MOST_TRIES + [429] * 5
    assert own == 303


def test_a_folder_that_cannot_be_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    broken = played(tmp_path, rounds=1).coordinator
    (broken / "roster.json").write_text("{")
    answer = get(broken, "/console", headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert "roster" in answer.json()["error"]


def test_who_signs_in_is_logged_and_strangers_fill_no_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="fedstill.console")
    code = Access(folder).make_code()
    for given in ("nonsense", f"{'0' * 16}.{'A' * 43}", f"{code[:17]}{'A' * 43}", code, code):
        ask(folder, lambda client, given=given: client.post(LOGIN, data={"code": given}), signed_in=False)  # type: ignore[misc]
    said = [record.getMessage() for record in caplog.records if record.name == "fedstill.console"]
    assert said == ["somebody has named an open code with a wrong secret", "somebody has signed in"]
    assert code.partition(".")[2] not in caplog.text


def test_what_is_wrong_with_the_disk_is_not_for_who_has_not_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise ResourceError("cannot write /srv/coordinator: no space left")

    code = Access(tmp_path).make_code()
    monkeypatch.setattr(Access, "sign_in", full)
    answer = ask(tmp_path, lambda client: client.post(LOGIN, data={"code": code}), signed_in=False)
    assert answer.status_code == 503
    assert "/srv" not in answer.text


def test_the_console_brings_no_learning_with_it() -> None:
    """It runs beside a run on one machine: neither torch nor a runtime of graphs is loaded for a page."""
    words = "import server.console.__main__, sys; print([name for name in ('torch', 'onnx', 'onnxruntime', 'flwr') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
