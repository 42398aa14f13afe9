"""An enrolment is public, whole and proven; anything else is refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.config import check_config
from shared.enrolment import Connection, Enrolment, make_enrolment, read_connection, read_enrolment, write_connection
from shared.errors import ConfigError, IdentityError, MissingFileError
from shared.identity import make_identity, make_node_key, public_bytes


def made(folder: Path, name: str = "va") -> tuple[Enrolment, Ed25519PrivateKey]:
    identity = make_identity(folder / "identity.key")
    return make_enrolment(name, identity, make_node_key(folder / "node")), identity


def test_it_comes_back_and_holds_nothing_private(tmp_path: Path) -> None:
    enrolment, identity = made(tmp_path)
    path = tmp_path / "enrolment.json"
    path.write_text(enrolment.model_dump_json())
    assert read_enrolment(path) == enrolment
    assert enrolment.identity_bytes == public_bytes(identity)
    assert "PRIVATE" not in path.read_text()


@pytest.mark.parametrize("field", ["name", "identity", "node_key", "proof"])
def test_any_part_of_another_enrolment_is_refused(tmp_path: Path, field: str) -> None:
    enrolment, _ = made(tmp_path / "a", "va")
    other, _ = made(tmp_path / "b", "cl")
    path = tmp_path / "enrolment.json"
    path.write_text(enrolment.model_copy(update={field: getattr(other, field)}).model_dump_json())
    with pytest.raises(IdentityError, match="not a genuine enrolment"):
        read_enrolment(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"name": "va", "identity": "AA", "node_key": "x", "proof": "!"}'])
def test_what_is_no_enrolment_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "enrolment.json").write_bytes(content)
    with pytest.raises(IdentityError, match="not a genuine enrolment"):
        read_enrolment(tmp_path / "enrolment.json")


def test_a_node_key_of_another_curve_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path = tmp_path / "enrolment.json"
    path.write_text(make_enrolment("va", make_identity(tmp_path / "identity.key"), line).model_dump_json())
    with pytest.raises(IdentityError, match="P-384"):
        read_enrolment(path)


def test_the_coordinators_address(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.json"
    write_connection(path, Connection(address="fl.example.org:8443"))
    assert (read_connection(path).host, read_connection(path).port) == ("fl.example.org", 8443)
    path.write_text("{}")
    with pytest.raises(IdentityError, match="pin it again"):
        read_connection(path)
    with pytest.raises(MissingFileError):
        read_connection(tmp_path / "nowhere.json")


@pytest.mark.parametrize("address", ["https://fl.example.org", "fl.example.org", "a b:1", "x:99999999", ":8443"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        check_config(Connection, {"address": address}, where="--address")
