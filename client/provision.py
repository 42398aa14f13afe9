"""Setting up an institution's folder: its keys, made on site, and what it pins of its coordinator."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from client.folder import InstitutionFolder
from shared.certificates import load_certificate
from shared.config import InstitutionConfig, load_config
from shared.enrolment import Connection, Enrolment, make_enrolment, write_connection
from shared.errors import IdentityError
from shared.files import read_bytes, write_atomic
from shared.identity import load_identity, load_roster, make_identity, make_node_key, public_bytes, save_roster
from shared.secagg.roster import Roster


def init_institution(folder: Path, config: InstitutionConfig, *, passphrase: bytes | None = None) -> Enrolment:
    """Makes an institution's folder: institution.toml, private keys, and ``enrolment.json`` with their public parts.

    With ``passphrase`` the identity's key is encrypted; Flower's node key cannot be, and is as safe as its file mode.
    Raises :class:`IdentityError` if there are keys already.
    """
    identity = make_identity(folder / "keys" / "identity.key", passphrase=passphrase)
    node_key = make_node_key(folder / "keys" / "node")
    table = config.model_dump(mode="json", exclude_none=True)
    write_atomic(folder / "institution.toml", tomli_w.dumps(table).encode())
    return write_enrolment(folder, make_enrolment(config.name, identity, node_key))


def write_enrolment(folder: Path, enrolment: Enrolment) -> Enrolment:
    """Writes the public parts, for the coordinator's operator."""
    write_atomic(folder / "enrolment.json", enrolment.model_dump_json(indent=2).encode() + b"\n")
    return enrolment


def pin(
    folder: Path,
    roster: Roster,
    *,
    ca: Path | None = None,
    connection: Connection | None = None,
    replace: bool = False,
    passphrase: bytes | None = None,
) -> None:
    """Pins a roster and, if given, the coordinator's CA and address.

    Raises :class:`IdentityError` if this institution is not on the roster with its own key, or if another roster or
    coordinator is pinned and ``replace`` is not set: a changed roster must be somebody's decision.
    """
    config = load_config(InstitutionConfig, folder / "institution.toml")
    if roster.members.get(config.name) != public_bytes(load_identity(folder / "keys" / "identity.key", passphrase=passphrase)):
        raise IdentityError(
            f"the roster does not have '{config.name}' with this institution's key: send enrolment.json to the coordinator first"
        )
    pinned = folder / "roster.json"
    if pinned.exists() and not replace and load_roster(pinned).digest != roster.digest:
        raise IdentityError(
            f"another roster is pinned in {folder}: compare fingerprints with the coordinator's operator, then use --replace"
        )
    home = InstitutionFolder(folder)
    if ca is not None:
        load_certificate(ca)
        _refuse_another(home.ca, read_bytes(ca), replace)
        write_atomic(home.ca, read_bytes(ca))
    if connection is not None:
        write_connection(home.connection, connection)
    save_roster(pinned, roster)


def _refuse_another(pinned: Path, content: bytes, replace: bool) -> None:
    if pinned.exists() and not replace and pinned.read_bytes() != content:
        raise IdentityError(f"another CA is pinned in {pinned}: ask the coordinator's operator why it changed, then use --replace")
