"""A whole federation with canaries in its records, keys and secrets: none is in any log or audit, whatever goes wrong."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client.app import make_app
from client.site import InstitutionSite
from fedstill.following import operator
from server.events import Event
from shared.identity import load_identity
from shared.logs import JSON_VARIABLE, set_up, use_json
from shared.secagg.state import unpack
from shared.work import Work
from tests.support.small import SmallContribution, SmallFederation, SmallWorkbench, make_federation

RECORD = "Canary-1957-03-12"
"""A patient's name and date of birth."""
FAILING_ROUND = 4


class WithRecords(SmallWorkbench):
    """Holds a record and, in one round, fails with an error that quotes it."""

    def __init__(self, site: InstitutionSite) -> None:
        super().__init__(site)
        self.records: NDArray[np.str_] = np.array([RECORD])

    def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
        if self.name == "ash" and round_number == FAILING_ROUND:
            raise ValueError(f"could not convert string to float: {self.records[0]!r}")
        return super().perform(work, blob, round_number)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    monkeypatch.setenv(JSON_VARIABLE, "0")
    use_json(True)
    stream, logger = io.StringIO(), logging.getLogger("fedstill")
    before = logger.level
    set_up(logger, stream)
    yield stream
    logger.handlers[:] = [handler for handler in logger.handlers if handler.get_name() != "shared.logs"]
    logger.setLevel(before)


def secrets_of(federation: SmallFederation) -> dict[str, bytes]:
    """Every private key and every round's secrets that are on any disk."""
    found: dict[str, bytes] = {}
    for home in (federation.coordinator, *federation.institutions.values()):
        found[f"{home.name}'s identity"] = load_identity(home / "keys" / "identity.key").private_bytes_raw()
    for name, home in federation.institutions.items():
        ledger = InstitutionSite(home).ledger
        newest, _ = ledger.newest("trial")
        ratchet = unpack(ledger.epoch("trial", newest).state).ratchet
        assert ratchet is not None
        found |= {f"{name}'s key with {peer}": key for peer, key in ratchet.keys.items()}
    return found


def forms_of(secret: bytes) -> Iterator[bytes]:
    """How a secret could have got into a text, in pieces of 16 bytes."""
    for start in range(0, len(secret) - 15, 16):
        part = secret[start : start + 16]
        yield part
        yield part.hex().encode()
        yield base64.b64encode(part)[:20]


def test_no_canary_is_in_any_log_or_audit(tmp_path: Path, said: io.StringIO) -> None:
    federation = make_federation(tmp_path, 4)
    events: list[Event] = []
    _, listen = operator(log_json=True)
    set_up(logging.getLogger("fedstill"), said)

    def watch(event: Event) -> None:
        events.append(event)
        listen(event)

    federation.run(client_app=make_app(WithRecords), watch=watch)
    logs = said.getvalue().encode()
    audits = {str(path): path.read_bytes() for path in tmp_path.rglob("audit/*")}
    assert len(audits) == 2 * 5, "a log and a head on each side"
    assert b"message failed: ValueError at " in logs, "the failure was logged"
    assert b"round-closed" in logs
    store = (federation.coordinator / "store.sqlite").read_bytes()
    for where, content in {"logs": logs, "store": store, **audits}.items():
        assert RECORD.encode() not in content, where
    for what, secret in secrets_of(federation).items():
        for form in forms_of(secret):
            for where, content in {"logs": logs, **audits}.items():
                assert form not in content, f"{what} is in {where}"


def test_the_canaries_would_be_found() -> None:
    secret = bytes(range(32))
    assert all(any(form in written for form in forms_of(secret)) for written in (secret, secret.hex().encode()))
    assert any(form in base64.b64encode(secret) for form in forms_of(secret))
