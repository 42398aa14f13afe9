"""The audit's page shows the newest entries first, page by page, and says when the chain does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.console.audit import A_PAGE, REST_S, AuditReader
from server.site import CoordinatorSite
from shared.audit.chain import COORDINATOR, LOG_NAME
from shared.audit.writer import AuditLog
from tests.support.opened import make_coordinator


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def site(tmp_path: Path) -> CoordinatorSite:
    return CoordinatorSite(make_coordinator(tmp_path / "coordinator"))


def append(site: CoordinatorSite, count: int, **fields: object) -> None:
    log = AuditLog(site.folder / "audit", COORDINATOR, site.identity)
    for number in range(count):
        log.append("membership", event="invited", institution=f"n{number}", **fields)


def test_the_newest_first_and_page_by_page(site: CoordinatorSite) -> None:
    append(site, A_PAGE + 4)
    reader = AuditReader(site)
    first, second, third = reader.page(), reader.page(2), reader.page(3)
    assert first.verdict is not None
    assert first.verdict.whole
    total = first.verdict.entries
    assert [entry.n for entry in first.entries] == list(range(total, total - A_PAGE, -1))
    assert [entry.n for entry in (*first.entries, *second.entries)] == list(range(total, 0, -1))
    assert (first.more, second.more, third.entries, third.more) == (True, False, (), False)
    assert all(entry.genuine for entry in first.entries)
    assert first.entries[0].about == f"event invited, institution n{A_PAGE + 3}"


def test_a_changed_line_is_found_and_marked(site: CoordinatorSite) -> None:
    append(site, 3)
    log = site.folder / "audit" / LOG_NAME
    log.write_bytes(log.read_bytes().replace(b'"institution":"n1"', b'"institution":"n9"'))
    page = AuditReader(site).page()
    assert page.verdict is not None
    assert not page.verdict.whole
    assert "does not fit at line" in page.verdict.fault
    changed = [entry for entry in page.entries if not entry.genuine]
    assert [dict(entry.fields)["institution"] for entry in changed] == ["n9"]


def test_a_line_that_is_none_and_no_audit_at_all(site: CoordinatorSite, tmp_path: Path) -> None:
    append(site, 1)
    with (site.folder / "audit" / LOG_NAME).open("ab") as file:
        file.write(b"<b>\xff\n")
    newest = AuditReader(site).page().entries[0]
    assert (newest.kind, newest.genuine, newest.fields) == ("not an entry", False, ())
    for path in (site.folder / "audit").iterdir():
        path.unlink()
    page = AuditReader(site).page()
    assert (page.verdict, page.entries, page.more) == (None, (), False)


def test_it_is_verified_again_when_it_has_changed_and_not_all_the_time(site: CoordinatorSite) -> None:
    append(site, 1)
    watch = Stopwatch()
    reader = AuditReader(site, stopwatch=watch)
    before = reader.page().verdict
    append(site, 1)
    assert reader.page().verdict == before, "it rests"
    watch.now = REST_S
    after = reader.page().verdict
    assert before is not None
    assert after is not None
    assert after.entries == before.entries + 1
    watch.now = 10 * REST_S
    assert reader.page().verdict is after, "nothing has changed"


def test_what_a_peer_said_moves_nothing(site: CoordinatorSite) -> None:
    append(site, 1, reason="no\x1b[2J\u202e", cohort=["ash", "elm"], deep={"a": {"b": "\u2028"}})
    fields = dict(AuditReader(site).page().entries[0].fields)
    assert fields["cohort"] == "ash, elm"
    assert not {"\x1b", "\u202e", "\u2028"} & set("".join(fields.values()))
