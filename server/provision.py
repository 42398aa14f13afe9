"""Setting up a coordinator's folder: its keys and certificates, and the institutions that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tomli_w

from server.audit import CoordinatorAudit
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.certificates import load_authority, make_authority, make_server_certificate
from shared.config import FederationConfig
from shared.enrolment import Enrolment
from shared.errors import IdentityError
from shared.files import write_atomic
from shared.identity import load_roster, make_identity, public_bytes, save_roster
from shared.secagg.roster import Roster


def init_coordinator(folder: Path, config: FederationConfig, hosts: Sequence[str]) -> Roster:
    """Makes a coordinator's folder: federation.toml, identity, CA, server certificate for ``hosts``, a roster of itself.

    Raises :class:`IdentityError` if there are keys already.
    """
    roster = Roster(members={}, coordinator=public_bytes(make_identity(folder / "keys" / "identity.key")))
    make_certificates(folder, config.name, hosts)
    write_atomic(folder / "federation.toml", tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)).encode())
    save_roster(folder / "roster.json", roster)
    return roster


def make_certificates(folder: Path, name: str, hosts: Sequence[str]) -> None:
    """Makes the CA if there is none, and a (new) server certificate for ``hosts``."""
    keys = folder / "keys"
    authority = load_authority(keys) if (keys / "ca.key").exists() else make_authority(keys, name=name)
    make_server_certificate(keys, authority, hosts)


def enrol(folder: Path, enrolments: Sequence[Enrolment]) -> Roster:
    """Adds institutions to the roster and keeps their node keys; the same enrolment again changes nothing.

    Raises :class:`IdentityError` if a name is taken by another key or a key by another name: nothing is changed then.
    """
    roster = load_roster(folder / "roster.json")
    members = dict(roster.members)
    home = CoordinatorFolder(folder)
    nodes = {path.stem: path.read_text().split()[:2] for path in home.nodes.glob("*.pub")}
    for enrolment in enrolments:
        name, key, node = enrolment.name, enrolment.identity_bytes, enrolment.node_key.split()[:2]
        if members.get(name, key) != key or nodes.get(name, node) != node:
            raise IdentityError(f"'{name}' is enrolled with other keys: enrol it under a new name, or restore its old keys")
        if any(members[other] == key or nodes.get(other) == node for other in members if other != name):
            raise IdentityError(f"the keys of '{name}' belong to another institution already: each needs its own, made on its own site")
        members[name], nodes[name] = key, node
    for enrolment in enrolments:
        write_atomic(home.nodes / f"{enrolment.name}.pub", enrolment.node_key.encode() + b"\n")
    enlarged = Roster(members=members, coordinator=roster.coordinator)
    save_roster(folder / "roster.json", enlarged)
    CoordinatorAudit(CoordinatorSite(folder)).roster()
    return enlarged
