"""Keys open only with what belongs to them, are never overwritten, and never readable by others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import IdentityError, MissingFileError
from shared.identity import (
    PASSPHRASE_FILE_VARIABLE,
    fingerprint,
    load_identity,
    load_roster,
    make_identity,
    make_node_key,
    public_bytes,
    save_roster,
)
from shared.secagg.roster import Roster

KEYS = st.binary(min_size=32, max_size=32)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_identity_is_the_same_key_again_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.key"
    made = make_identity(path)
    assert mode_of(path) == 0o600
    loaded = load_identity(path)
    Ed25519PublicKey.from_public_bytes(public_bytes(made)).verify(loaded.sign(b"round 1"), b"round 1")


def test_passphrase_is_needed_and_must_be_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "identity.key"
    made = make_identity(path, passphrase=b"correct horse")
    assert b"ENCRYPTED" in path.read_bytes()
    with pytest.raises(IdentityError, match=PASSPHRASE_FILE_VARIABLE):
        load_identity(path)
    with pytest.raises(IdentityError, match="does not open"):
        load_identity(path, passphrase=b"wrong")
    (tmp_path / "passphrase").write_bytes(b"correct horse\n")
    monkeypatch.setenv(PASSPHRASE_FILE_VARIABLE, str(tmp_path / "passphrase"))
    assert public_bytes(load_identity(path)) == public_bytes(made)


def test_wrong_passphrase_and_damaged_file_give_the_same_sentence(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    make_identity(path, passphrase=b"right")
    with pytest.raises(IdentityError) as wrong:
        load_identity(path, passphrase=b"wrong")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][::-1], *lines[2:]]))
    with pytest.raises(IdentityError) as damaged:
        load_identity(path, passphrase=b"right")
    assert str(wrong.value) == str(damaged.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    make_identity(path)
    path.chmod(0o640)
    with pytest.raises(IdentityError, match="chmod 600"):
        load_identity(path)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(IdentityError, match="not an Ed25519 key"):
        load_identity(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    make_identity(tmp_path / "identity.key")
    make_node_key(tmp_path / "node")
    before = [(tmp_path / name).read_bytes() for name in ("identity.key", "node", "node.pub")]
    with pytest.raises(IdentityError, match="already"):
        make_identity(tmp_path / "identity.key")
    with pytest.raises(IdentityError, match="already"):
        make_node_key(tmp_path / "node")
    assert before == [(tmp_path / name).read_bytes() for name in ("identity.key", "node", "node.pub")]


def test_node_key_is_p384_in_openssh_form(tmp_path: Path) -> None:
    line = make_node_key(tmp_path / "keys" / "node")
    private = serialization.load_ssh_private_key((tmp_path / "keys" / "node").read_bytes(), password=None)
    public = serialization.load_ssh_public_key((tmp_path / "keys" / "node.pub").read_bytes())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, ec.SECP384R1)
    assert private.public_key() == public
    assert line.startswith(b"ecdsa-sha2-nistp384 ")
    assert mode_of(tmp_path / "keys" / "node") == 0o600


@given(members=st.dictionaries(NAMES, KEYS, max_size=5), coordinator=KEYS)
def test_a_roster_comes_back_with_its_digest(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes], coordinator: bytes
) -> None:
    path = tmp_path_factory.mktemp("roster") / "roster.json"
    roster = Roster(members=members, coordinator=coordinator)
    save_roster(path, roster)
    assert dict(load_roster(path).members) == members
    assert load_roster(path).digest == roster.digest


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"coordinator": "", "members": {}}',
        b'{"coordinator": 3, "members": {}}',
        b'{"coordinator": "AAAA", "members": []}',
        b'{"coordinator": "!!!!", "members": {"": "x"}}',
        b"\xff\xfe",
    ],
)
def test_what_is_not_a_roster_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "roster.json").write_bytes(content)
    with pytest.raises(IdentityError, match="not a roster"):
        load_roster(tmp_path / "roster.json")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"identity\.key"):
        load_identity(tmp_path / "identity.key")
    with pytest.raises(MissingFileError, match=r"roster\.json"):
        load_roster(tmp_path / "roster.json")


def test_fingerprint_is_grouped_for_reading_aloud() -> None:
    assert fingerprint(bytes(range(6))) == "0001 0203 0405"


def test_ssh_keygen_reads_the_node_key(tmp_path: Path) -> None:
    make_node_key(tmp_path / "node")
    try:
        done = subprocess.run(["ssh-keygen", "-y", "-f", str(tmp_path / "node")], capture_output=True, text=True, check=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")
    assert done.stdout.split()[:2] == (tmp_path / "node.pub").read_text().split()[:2]
