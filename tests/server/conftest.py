"""A PostgreSQL server for all tests that want one, where one is installed; where none is, the end of the report says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import Server, programs, running

MISSING = "no PostgreSQL server is installed (apt-get install postgresql); nothing was tested on it"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that runs until the session's end."""
    folder = programs()
    if folder is None:
        pytest.skip(MISSING)
    with running(folder) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skip that nobody sees would pass for a test."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if MISSING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"SKIPPED {len(skipped)} tests: {MISSING}", red=True)
