from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared.audit.keys import open_audit
from shared.audit.writer import AuditLog
from shared.errors import AuditError, IdentityError
from shared.identity import load_identity
from tests.support.small import make_federation


def test_an_audit_is_found_by_any_of_its_paths_and_opened_with_its_side_s_key(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    home = federation.institutions["ash"]
    AuditLog(home / "audit", "institution/ash", load_identity(home / "keys" / "identity.key")).append("agreed")
    trails = [open_audit(path) for path in (home, home / "audit", home / "audit" / "log.jsonl")]
    assert {trail.side for trail in trails} == {"institution/ash"}
    copy = shutil.copytree(home / "audit", tmp_path / "posted" / "audit")
    assert open_audit(copy, roster=federation.coordinator / "roster.json") == trails[0]


def test_one_side_s_audit_is_not_passed_off_as_another_s(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    home = federation.institutions["ash"]
    AuditLog(home / "audit", "coordinator", load_identity(home / "keys" / "identity.key")).append("roster")
    with pytest.raises(AuditError, match="signature"):
        open_audit(home)
    shutil.rmtree(home / "audit")
    AuditLog(home / "audit", "institution/mallory", load_identity(home / "keys" / "identity.key")).append("agreed")
    with pytest.raises(IdentityError, match="does not know institution/mallory"):
        open_audit(home)
