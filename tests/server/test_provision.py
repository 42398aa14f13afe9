"""A coordinator's folder is made once; institutions are added and never silently exchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server import provision
from server.provision import UnfitError, enrol, expel, init_coordinator, make_certificates, was_enrolled
from server.superlink import CoordinatorFolder
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


def renamed(enrolment: Enrolment, keys: Path, comment: bytes) -> Enrolment:
    """The same institution, whose operator has put another comment behind the same node key."""
    line = b" ".join([*enrolment.node_key.encode().split()[:2], comment])
    return make_enrolment(enrolment.name, load_identity(keys / enrolment.name / "identity.key"), line)


def revoked(folder: Path) -> list[list[str]]:
    return [line.split() for line in json.loads((folder / "enrolment" / "revoked.json").read_bytes())]


def test_a_comment_does_not_bring_a_revoked_node_key_back(tmp_path: Path) -> None:
    folder, va = coordinator(tmp_path / "c"), institution(tmp_path, "va")
    enrol(folder, [va])
    expel(folder, "va")
    for comment in (b"", b"new", b"another machine"):
        with pytest.raises(UnfitError, match="was revoked"):
            enrol(folder, [renamed(va, tmp_path, comment)], renewed_node=True)


def test_revoked_keys_that_an_earlier_release_kept_with_their_comments_stay_revoked(tmp_path: Path) -> None:
    folder, va = coordinator(tmp_path / "c"), institution(tmp_path, "va")
    path = folder / "enrolment" / "revoked.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([f"{' '.join(va.node_key.split()[:2])} some comment"]))
    with pytest.raises(UnfitError, match="was revoked"):
        enrol(folder, [va])


def test_a_node_key_that_gave_way_is_never_taken_again(tmp_path: Path) -> None:
    """Flower does not, either: an institution that brought it would be a member and never be let in."""
    folder, va = coordinator(tmp_path / "c"), institution(tmp_path, "va")
    enrol(folder, [va])
    identity = load_identity(tmp_path / "va" / "identity.key")
    enrol(folder, [make_enrolment("va", identity, make_node_key(tmp_path / "va" / "second"))], renewed_node=True)
    assert revoked(folder) == [va.node_key.split()[:2]]
    with pytest.raises(UnfitError, match="was revoked"):
        enrol(folder, [va], renewed_node=True)


def test_another_comment_is_no_other_key(tmp_path: Path) -> None:
    folder, va = coordinator(tmp_path / "c"), institution(tmp_path, "va")
    enrol(folder, [va])
    enrol(folder, [renamed(va, tmp_path, b"new")])
    assert not (folder / "enrolment" / "revoked.json").exists()


@pytest.mark.parametrize("step", ["_revoke_nodes", "save_roster", "CoordinatorAudit"])
def test_expelling_that_was_broken_off_goes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Wherever it stops, the node key is not lost before it is written down as revoked, and the same call does the rest."""
    folder, va = coordinator(tmp_path / "c"), institution(tmp_path, "va")
    enrol(folder, [va, institution(tmp_path, "cl")])

    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(provision, step, broken)
        with pytest.raises(OSError, match="no space"):
            expel(folder, "va")
    assert (folder / "nodes" / "va.pub").exists()
    for _ in range(2):
        assert set(expel(folder, "va").members) == {"cl"}
    assert not (folder / "nodes" / "va.pub").exists()
    assert revoked(folder) == [va.node_key.split()[:2]]


def test_who_never_was_a_member_is_not_expelled(tmp_path: Path) -> None:
    folder = coordinator(tmp_path / "c")
    enrol(folder, [institution(tmp_path, "va")])
    with pytest.raises(IdentityError, match="no institution 'cl' on the roster; there are: va"):
        expel(folder, "cl")
    assert not was_enrolled(CoordinatorFolder(folder), "cl")
    expel(folder, "va")
    assert was_enrolled(CoordinatorFolder(folder), "va")
