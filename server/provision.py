"""Setting up a coordinator's folder: its keys and certificates, and the institutions that it knows."""

from __future__ import annotations

import json
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
from shared.files import PRIVATE_MODE, write_atomic
from shared.identity import load_roster, make_identity, public_bytes, save_roster
from shared.secagg.roster import Roster


class UnfitError(IdentityError):
    """What somebody hands in does not fit; the sentence is for whoever did."""


def init_coordinator(folder: Path, config: FederationConfig, hosts: Sequence[str]) -> Roster:
    """Makes a coordinator's folder: federation.toml, identity, CA, server certificate for ``hosts``, a roster of itself.

    Raises :class:`IdentityError` if there are keys already.
    """
    roster = Roster(members={}, coordinator=public_bytes(make_identity(folder / "keys" / "identity.key")))
    make_certificates(folder, config.name, hosts)
    write_atomic(folder / "federation.toml", tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)).encode())
    keep_roster(folder, roster)
    return roster


def make_certificates(folder: Path, name: str, hosts: Sequence[str]) -> None:
    """Makes the CA if there is none, and a (new) server certificate for ``hosts``."""
    keys = folder / "keys"
    authority = load_authority(keys) if (keys / "ca.key").exists() else make_authority(keys, name=name)
    make_server_certificate(keys, authority, hosts)


def enrol(folder: Path, enrolments: Sequence[Enrolment], *, renewed_node: bool = False) -> Roster:
    """Adds institutions to the roster and keeps their node keys; the same enrolment again changes nothing.

    With ``renewed_node`` a member may bring another node key, which its identity has signed, in place of the one it had. Raises
    :class:`UnfitError` if a name is taken by another key, a key by another name, or a node key was revoked: nothing is
    changed then. A node key that gave way counts as revoked.
    """
    roster = load_roster(folder / "roster.json")
    members = dict(roster.members)
    home = CoordinatorFolder(folder)
    before = {path.stem: path.read_text().split()[:2] for path in home.nodes.glob("*.pub")}
    nodes, revoked = dict(before), _revoked(home)
    for enrolment in enrolments:
        name, key, node = enrolment.name, enrolment.identity_bytes, enrolment.node_key.split()[:2]
        if members.get(name, key) != key or (nodes.get(name, node) != node and not renewed_node):
            raise UnfitError(f"'{name}' is enrolled with other keys: enrol it under a new name, or restore its old keys")
        if any(members[other] == key or nodes.get(other) == node for other in members if other != name):
            raise UnfitError(f"the keys of '{name}' belong to another institution already: each needs its own, made on its own site")
        if node in revoked:
            raise UnfitError(f"the node key of '{name}' was revoked, and Flower takes it never again: join again, which makes a new one")
        members[name], nodes[name] = key, node
    _revoke_nodes(home, [key for name, key in before.items() if nodes[name] != key])
    for enrolment in enrolments:
        write_atomic(home.nodes / f"{enrolment.name}.pub", enrolment.node_key.encode() + b"\n")
    return keep_roster(folder, Roster(members=members, coordinator=roster.coordinator))


def expel(folder: Path, name: str) -> Roster:
    """Takes an institution off the roster and forgets its node key. Broken off anywhere, the same call again goes to the end.

    Raises :class:`IdentityError` if it is not on the roster and never was.
    """
    home = CoordinatorFolder(folder)
    roster = load_roster(home.roster)
    if not was_enrolled(home, name):
        raise IdentityError(f"there is no institution '{name}' on the roster; there are: {', '.join(sorted(roster.members)) or 'none'}")
    node = home.nodes / f"{name}.pub"
    if node.exists():
        _revoke_nodes(home, [node.read_text().split()[:2]])
    members = {other: key for other, key in roster.members.items() if other != name}
    smaller = keep_roster(folder, Roster(members=members, coordinator=roster.coordinator))
    node.unlink(missing_ok=True)
    return smaller


def was_enrolled(home: CoordinatorFolder, name: str) -> bool:
    """Whether an institution is on the roster, or was on one that is kept, or has a node key here."""
    rosters = (home.roster, *home.rosters.glob("*.json"))
    return (home.nodes / f"{name}.pub").exists() or any(name in load_roster(path).members for path in rosters)


def keep_roster(folder: Path, roster: Roster) -> Roster:
    """Writes ``roster`` as the one that holds now; it and the one before stay among ``rosters/``."""
    home = CoordinatorFolder(folder)
    before = [load_roster(home.roster)] if home.roster.exists() else []
    for one in (*before, roster):
        save_roster(home.rosters / f"{one.digest.hex()}.json", one)
    save_roster(home.roster, roster)
    CoordinatorAudit(CoordinatorSite(folder)).roster()
    return roster


def _revoke_nodes(home: CoordinatorFolder, keys: Sequence[list[str]]) -> None:
    if new := [key for key in keys if key not in (revoked := _revoked(home))]:
        lines = [" ".join(key) for key in (*revoked, *new)]
        write_atomic(home.enrolment / "revoked.json", json.dumps(lines).encode(), mode=PRIVATE_MODE)


def _revoked(home: CoordinatorFolder) -> list[list[str]]:
    """The node keys, kind and content each, that Flower does not take again. What a line says behind them is a comment."""
    path = home.enrolment / "revoked.json"
    return [line.split()[:2] for line in json.loads(path.read_bytes())] if path.exists() else []
