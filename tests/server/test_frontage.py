"""The server's certificate is renewed in time, for the same names, by the same CA."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from server.frontage import Frontage, renew_if_due
from server.superlink import CoordinatorFolder
from shared.certificates import SERVER_DAYS, hosts_of, lets_join, load_authority, load_certificate, make_server_certificate
from shared.processes import Command, Supervisor
from tests.support.opened import make_coordinator


def test_a_certificate_that_holds_is_left_alone(tmp_path: Path) -> None:
    home = CoordinatorFolder(make_coordinator(tmp_path))
    before = home.certificate.read_bytes()
    assert not renew_if_due(home)
    assert home.certificate.read_bytes() == before


def test_one_that_ends_soon_or_has_ended_is_made_anew(tmp_path: Path) -> None:
    home = CoordinatorFolder(make_coordinator(tmp_path))
    for days in (SERVER_DAYS - 30, SERVER_DAYS + 30):
        make_server_certificate(home.keys, load_authority(home.keys), ["fl.example.org"], now=datetime.now(UTC) - timedelta(days=days))
        assert renew_if_due(home)
        renewed = load_certificate(home.certificate)
        assert hosts_of(renewed) == ("fl.example.org", "localhost", "127.0.0.1")
        assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=SERVER_DAYS - 2)
        renewed.verify_directly_issued_by(load_certificate(home.ca))


def test_one_of_an_earlier_release_under_which_nobody_can_join_is_made_anew(tmp_path: Path) -> None:
    from unittest.mock import patch

    home = CoordinatorFolder(make_coordinator(tmp_path))
    with patch("shared.certificates._ALWAYS", ("localhost", "127.0.0.1")):
        make_server_certificate(home.keys, load_authority(home.keys), ["fl.example.org"])
    assert not lets_join(load_certificate(home.certificate))
    assert renew_if_due(home)
    assert lets_join(load_certificate(home.certificate))


class Started:
    """Notes what is started and restarted in place of doing it."""

    def __init__(self) -> None:
        self.commands: dict[str, Command] = {}
        self.again: list[str] = []

    def start(self, command: Command) -> None:
        self.commands[command.name] = command

    def restart(self, name: str) -> None:
        self.again.append(name)


@pytest.mark.parametrize("console", [True, False])
def test_the_console_is_there_or_it_is_shut(tmp_path: Path, console: bool) -> None:
    home, supervisor = CoordinatorFolder(make_coordinator(tmp_path)), Started()
    frontage = Frontage(home, cast("Supervisor", supervisor), "127.0.0.1", 8443, console=console)
    frontage.start()
    assert ("console" in supervisor.commands, "console" in frontage.ports) == (console, console)
    assert ("--console" in supervisor.commands["gateway"].arguments) is console
    old = datetime.now(UTC) - timedelta(days=SERVER_DAYS - 30)
    make_server_certificate(home.keys, load_authority(home.keys), ["fl.example.org"], now=old)
    assert frontage.renew()
    assert set(supervisor.again) == set(supervisor.commands), "all that show the certificate, and no other"
