"""A coordinator's folder is made once; institutions are added and never silently exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.provision import enrol, init_coordinator, make_certificates
from shared.certificates import hosts_of, load_certificate
from shared.config import FederationConfig, load_config
from shared.enrolment import Enrolment, make_enrolment
from shared.errors import IdentityError
from shared.identity import load_identity, load_roster, make_identity, make_node_key, public_bytes
from tests.support.small import federation_table


def coordinator(folder: Path) -> Path:
    init_coordinator(folder, FederationConfig.model_validate(federation_table(2)), ["fl.example.org"])
    return folder


def institution(folder: Path, name: str) -> Enrolment:
    return make_enrolment(name, make_identity(folder / name / "identity.key"), make_node_key(folder / name / "node"))


def test_init_makes_everything_a_coordinator_needs(tmp_path: Path) -> None:
    folder = coordinator(tmp_path)
    roster = load_roster(folder / "roster.json")
    assert roster.coordinator == public_bytes(load_identity(folder / "keys" / "identity.key"))
    assert dict(roster.members) == {}
    assert load_config(FederationConfig, folder / "federation.toml").name == "small"
    assert hosts_of(load_certificate(folder / "keys" / "server.pem"))[0] == "fl.example.org"
    assert all((folder / "keys" / name).stat().st_mode & 0o777 == 0o600 for name in ("identity.key", "ca.key", "server.key"))


def test_init_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="already"):
        coordinator(coordinator(tmp_path))


def test_enrolling_adds_to_roster_and_nodes(tmp_path: Path) -> None:
    folder = coordinator(tmp_path / "c")
    va, cl = institution(tmp_path, "va"), institution(tmp_path, "cl")
    first = enrol(folder, [va])
    second = enrol(folder, [cl])
    assert first.digest != second.digest
    assert dict(load_roster(folder / "roster.json").members) == {"va": va.identity_bytes, "cl": cl.identity_bytes}
    assert {path.stem for path in (folder / "nodes").iterdir()} == {"va", "cl"}
    assert enrol(folder, [va, cl]).digest == second.digest


@pytest.mark.parametrize("change", [{"name": "va"}, {"name": "new", "node_key": ""}, {"name": "new", "identity": ""}])
def test_a_name_or_a_key_is_never_taken_over(tmp_path: Path, change: dict[str, str]) -> None:
    folder = coordinator(tmp_path / "c")
    va, other = institution(tmp_path, "va"), institution(tmp_path, "other")
    enrol(folder, [va])
    before = (folder / "roster.json").read_bytes()
    taken = {key: value or getattr(va, key) for key, value in change.items()}
    with pytest.raises(IdentityError):
        enrol(folder, [institution(tmp_path, "cl"), other.model_copy(update=taken)])
    assert (folder / "roster.json").read_bytes() == before
    assert [path.stem for path in (folder / "nodes").iterdir()] == ["va"]


def test_a_renewed_certificate_has_the_same_authority(tmp_path: Path) -> None:
    folder = coordinator(tmp_path)
    before = (folder / "keys" / "ca.crt").read_bytes()
    make_certificates(folder, "small", ["new.example.org"])
    assert (folder / "keys" / "ca.crt").read_bytes() == before
    assert hosts_of(load_certificate(folder / "keys" / "server.pem"))[0] == "new.example.org"
